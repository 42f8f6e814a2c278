"""A model as tables for the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from erp.recommender.model import Model

LEFT_OUT = {
    "returned": "lines_returned",
    "without a sale": "lines_without_sale",
    "invalid": "lines_invalid",
}
SETTINGS = ("item_exponent", "size_exponent", "shrink", "ridge", "recency_halflife_months")
NEIGHBOURS = 10


def summary(model: Model, path: Path) -> Table:
    """What the model is made of, and where it is."""
    counts = model.counts
    table = Table("model", model.version, title=str(path))
    table.add_row("sales", f"{counts['sales']:,} from {' to '.join(model.window)}")
    table.add_row("products", f"{counts['products']:,}")
    table.add_row("customers", f"{counts['customers']:,}")
    table.add_row("similar pairs", f"{len(model.similarity.values):,}")
    left_out = [f"{counts[key]:,} {name}" for name, key in LEFT_OUT.items() if counts.get(key)]
    table.add_row("lines", ", ".join([f"{counts['lines']:,} used", *left_out]))
    for name in SETTINGS:
        table.add_row(name, f"{getattr(model.settings, name):g}")
    if tuned := model.metrics.get("tuning"):
        table.add_row("tuned", f"hit@10 {tuned['before']:.4f}, then {tuned['after']:.4f}")
    return table


def neighbours(model: Model, product_id: str) -> Table | str:
    """What goes with a product, by name; a sentence where nothing does."""
    similar = model.similar_items(product_id, NEIGHBOURS)
    name = model.catalogue.get(product_id).name or product_id
    if not similar:
        return f"{name}: no product goes with it often enough"
    table = Table("product", "name", "category", "similarity", "sales with both", title=name)
    for one in similar:
        table.add_row(
            one["product_id"],
            one["product_name"],
            one["category"] or "",
            f"{one['similarity']:.4f}",
            str(one["support"]),
        )
    return table
