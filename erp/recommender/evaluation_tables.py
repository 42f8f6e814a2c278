"""A comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from erp.intervals import Estimate
from erp.recommender.comparison import Comparison
from erp.recommender.evaluation_report import shown

RANKING = ("hit@5", "hit@10", "MRR@10", "nDCG@10")
VARIETY = ("coverage", "novelty", "repeats", "hit@10 repeat", "hit@10 new")


def tables(found: Comparison) -> Iterator[Table | str]:
    """What a person reads: metrics beside the peers', groups, sources, confidence."""
    title = f"a hidden product of {found.asked:,} later sales"
    yield _ranking(found, RANKING, title)
    yield _ranking(found, VARIETY, "variety, and what customers had bought before")
    yield from (f"{name} was left out: {why}" for name, why in found.left_out.items())
    yield f"hit@10 is {_ratio(found.ratio)} of {found.best_peer}'s"
    yield f"with the customer known it is {_ratio(found.known_ratio)} of that without"
    for kind, groups in found.groups.items():
        if groups:
            yield _grouped(kind, groups)
    for name, shares in found.sources.items():
        told = ", ".join(f"{source} {100 * share:.1f} %" for source, share in shares.items())
        yield f"{name} recommends from: {told}"
    yield _confidence(found)


def _ranking(found: Comparison, metrics: tuple[str, ...], title: str) -> Table:
    table = Table("", *metrics, title=title)
    for name, figures in found.ranking.items():
        cells = (
            shown(figure)
            if metric == "hit@10"
            else f"{figure.value if isinstance(figure, Estimate) else figure:.4f}"
            for metric, figure in ((metric, figures[metric]) for metric in metrics)
        )
        table.add_row(name, *cells)
    return table


def _ratio(ratio: Estimate) -> str:
    return f"{ratio.value:.2f} (95 %: {ratio.low:.2f} to {ratio.high:.2f})"


def _grouped(kind: str, groups: dict[str, dict[str, Estimate]]) -> Table:
    table = Table(kind, *next(iter(groups.values())), title=f"hit@10 by {kind}")
    for group, marks in groups.items():
        table.add_row(group, *(shown(mark) for mark in marks.values()))
    return table


def _confidence(found: Comparison) -> Table:
    names = ("said", "happened", "error", "by_chance", "skill")
    table = Table(
        "", "", *(name.replace("_", " ") for name in names), title="confidence_percentage"
    )
    for question, figures in found.confidence.items():
        for part, these in {"all": figures, **figures["by"]}.items():
            table.add_row(question, part, *(f"{100 * these[name]:.2f} %" for name in names))
    return table
