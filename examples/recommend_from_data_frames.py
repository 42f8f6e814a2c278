"""Recommend from data frames of your own, without any server.

Reads   nothing: replace the three frames with your own (pandas, polars, pyarrow or a dict of lists)
Writes  the recommendations for a basket to the terminal

    python examples/recommend_from_data_frames.py
"""

import random
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # it is run, not installed

from erp import recommender

random.seed(1)
MEALS = [["bread", "butter", "jam"], ["tea", "milk", "sugar"], ["pasta", "tomato", "basil"]]
BASKETS = [random.sample(random.choice(MEALS), 2) for _ in range(600)]


def main() -> None:
    """Fit a model to 600 sales and ask it about a basket."""
    sales = pd.DataFrame(
        {
            "sale_id": range(len(BASKETS)),
            "sale_datetime": pd.date_range("2026-01-01", periods=len(BASKETS), freq="h", tz="UTC"),
            "customer_id": [f"c{number % 40}" for number in range(len(BASKETS))],
        }
    )
    lines = pd.DataFrame(
        [
            {"sale_id": number, "product_id": product, "quantity": 1}
            for number, basket in enumerate(BASKETS)
            for product in basket
        ]
    )
    names = sorted({product for meal in MEALS for product in meal})
    products = pd.DataFrame({"product_id": names, "name": [name.title() for name in names]})

    model = recommender.fit(lines, sales, products)
    for one in model.recommend(["bread"], customer="c1", n=3):
        why = ", ".join(reason["product_name"] for reason in one["because_of"]) or one["source"]
        print(f"{one['product_name']:8} {one['confidence_percentage']:5.1f} %  because of {why}")
    model.save(Path(sys.argv[1] if len(sys.argv) > 1 else "models/example.pkl"))


if __name__ == "__main__":
    main()
