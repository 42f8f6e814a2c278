"""Is the model better than the bestsellers? One product of each later basket is hidden and sought.

Reads   sales.csv, sales_items.csv and products.csv of a folder (csv_out/prepare.py fills csv_out)
Writes  the share of baskets whose hidden product is among ten recommendations, to the terminal

    python examples/evaluate_against_popularity.py csv_out

`python model_train_reco.py --evaluate` does it at length, beside more peers and with intervals.
"""

import random
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # it is run, not installed

from erp import recommender

SHOWN = 10


def main() -> None:
    """Learn from the older nine tenths, ask about the newest."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "csv_out")
    if not (folder / "sales.csv").is_file():
        sys.exit(f"no sales.csv in {folder}: csv_out/prepare.py fills csv_out")
    sales, lines, products = (
        pd.read_csv(folder / f"{name}.csv", dtype=str)
        for name in ("sales", "sales_items", "products")
    )
    sales = sales.sort_values("sale_datetime")
    known, later = sales[: len(sales) * 9 // 10], sales[len(sales) * 9 // 10 :]
    lines["quantity"] = pd.to_numeric(lines["quantity"])
    lines_known = lines[lines["sale_id"].isin(known["sale_id"])]
    model = recommender.fit(lines_known, known, products)
    best = lines_known["product_id"].value_counts().index.tolist()

    random.seed(0)
    by_sale = lines[lines["quantity"] > 0].groupby("sale_id")["product_id"].unique()
    baskets = by_sale[by_sale.index.isin(later["sale_id"]) & (by_sale.str.len() > 1)].map(list)
    hidden = [basket.pop(random.randrange(len(basket))) for basket in baskets]
    answers = model.recommend_many(list(baskets), n=SHOWN)
    ours = sum(
        product in [one["product_id"] for one in answer]
        for product, answer in zip(hidden, answers, strict=True)
    )
    theirs = sum(
        product in [one for one in best if one not in basket][:SHOWN]
        for product, basket in zip(hidden, baskets, strict=True)
    )
    print(f"{len(hidden):,} baskets; among {SHOWN} recommendations is the hidden product of")
    print(f"  the model     {ours / len(hidden):6.1%}")
    print(f"  bestsellers   {theirs / len(hidden):6.1%}")


if __name__ == "__main__":
    main()
