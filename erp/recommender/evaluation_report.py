"""A comparison as JSON and as one HTML page that needs no network to be looked at."""

from __future__ import annotations

import json
from collections.abc import Collection
from html import escape
from pathlib import Path
from typing import Any

from erp.intervals import Estimate
from erp.recommender.comparison import OURS, OURS_KNOWN, Comparison
from erp.recommender.evaluation_figures import intervals, percent, reliability

NAME = "evaluation"
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#667085;--grid:#d7dce4;--back:#fff;
--ours:#0b6e99;--known:#c2571a;--peer:#7a828f}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#98a2b3;--grid:#343c49;--back:#12161c;
--ours:#4db8e5;--known:#f2955a;--peer:#a3abb8}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1100px;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}p.note{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
td:first-child,th:first-child{text-align:left}tr.ours td{font-weight:600}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}
svg .tick{fill:var(--soft)}.grid{stroke:var(--grid)}.diagonal{stroke:var(--soft);
stroke-dasharray:4 4}g.ours{stroke:var(--ours);fill:var(--ours)}g.known{stroke:var(--known);
fill:var(--known)}g.peer{stroke:var(--peer);fill:var(--peer)}g line{stroke-width:2}
b.ours{color:var(--ours)}b.known{color:var(--known)}b.peer{color:var(--peer)}
.side{display:flex;flex-wrap:wrap;gap:2rem}
"""


def write(found: Comparison, folder: Path, made_at: str) -> tuple[Path, Path]:
    """Write evaluation.json and evaluation.html; returns their paths. OSError where it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page = folder / f"{NAME}.json", folder / f"{NAME}.html"
    text = json.dumps(as_document(found) | {"made_at": made_at}, indent=2, allow_nan=False)
    data.write_text(text + "\n", encoding="utf-8")
    page.write_text(as_page(found, made_at), encoding="utf-8")
    return data, page


def as_document(found: Comparison) -> dict[str, Any]:
    """Plain values; an Estimate is {value, low, high}."""
    return {name: _plain(value) for name, value in found._asdict().items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value._asdict()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def as_page(found: Comparison, made_at: str) -> str:
    """The page, HTML."""
    first, last = (moment[:10] for moment in found.window)
    about = (
        f"Learned from the oldest {found.learned_from:,} of {found.sales:,} sales, asked about"
        f" {found.asked:,} of those after them ({first} to {last}). One product of each basket was"
        " hidden, and looked for among ten recommendations. Intervals hold 95 %."
    )
    skill = (
        "Error is the mean gap between the two; by chance is the error that so many recommendations"
        " have where every word is true; skill is how much better the Brier score is than"
        " that of always saying the mean, which would have no error either."
    )
    names = f'<b class="ours">{OURS}</b>, <b class="known">with the customer known</b>'
    parts = [
        "<h1>How good the recommendations are</h1>",
        f"<p>{about}</p>",
        "<h2>Hidden product found among ten</h2>",
        intervals([(name, [(_kind(name), hits)]) for name, hits in _hits(found).items()]),
        f"<p>{_verdict(found)}</p>",
        _ranking(found),
        _left_out(found),
        *(
            f"<h2>Found among ten, by {title}</h2><p>{names},"
            f' <b class="peer">{escape(found.best_peer)}</b>.</p>{_grouped(found.groups[kind])}'
            for kind, title in (("size", "products shown"), ("store", "store"))
            if found.groups[kind]
        ),
        "<h2>Where the recommendations come from</h2>",
        _sources(found),
        "<h2>Confidence: what was said and what happened</h2>",
        f'<p class="note">{skill}</p>',
        '<div class="side">',
        *(
            f"<div><h3>{question}</h3>{reliability(figures['bins'])}</div>"
            for question, figures in found.confidence.items()
        ),
        "</div>",
        _calibration(found),
        "<h2>Settings</h2>",
        _table(
            ["setting", "value"],
            [[name, str(value)] for name, value in found.settings.items()],
        ),
        f'<p class="note">Made {escape(made_at)} by model_train_reco.py --evaluate.</p>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation of the'
        ' recommender</title><meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _hits(found: Comparison) -> dict[str, Estimate]:
    hits = {name: metrics["hit@10"] for name, metrics in found.ranking.items()}
    return {name: hit for name, hit in hits.items() if isinstance(hit, Estimate)}


def _kind(name: str) -> str:
    return {OURS: "ours", OURS_KNOWN: "known"}.get(name, "peer")


def _verdict(found: Comparison) -> str:
    return (
        f"Of a basket alone it finds {_ratio(found.ratio)} times what"
        f" {escape(found.best_peer)} finds, the best peer; with the customer known"
        f" {_ratio(found.known_ratio)} times as much as of the basket alone."
    )


def _ratio(ratio: Estimate) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _ranking(found: Comparison) -> str:
    metrics = list(found.ranking[OURS])
    rows = [[name, *(shown(each[m]) for m in metrics)] for name, each in found.ranking.items()]
    note = (
        '<p class="note">Coverage: share of the sold products that are recommended at all. Novelty:'
        " mean of -log2 of a product's share of sales, bits. Repeats: share of the recommendations"
        " that the customer had bought before; hit@10 repeat and new: where the hidden product was"
        " such a one, and where it was not; all three of known customers.</p>"
    )
    return _table(["", *metrics], rows, {OURS, OURS_KNOWN}) + note


def shown(figure: Estimate | float) -> str:
    """A figure, with the half width of its interval where it has one."""
    if isinstance(figure, Estimate):
        return f"{figure.value:.4f} ± {(figure.high - figure.low) / 2:.4f}"
    return f"{figure:.4f}"


def _left_out(found: Comparison) -> str:
    lines = (f"{name} was left out: {why}." for name, why in found.left_out.items())
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _grouped(groups: dict[str, dict[str, Estimate]]) -> str:
    return intervals(
        [
            (group, [(_kind(name), mark) for name, mark in marks.items()])
            for group, marks in groups.items()
        ]
    )


def _sources(found: Comparison) -> str:
    names = list(next(iter(found.sources.values()), {}))
    rows = [
        [who, *(percent(shares.get(name, 0.0)) for name in names)]
        for who, shares in found.sources.items()
    ]
    return _table(["", *names], rows)


def _calibration(found: Comparison) -> str:
    rows = []
    for question, figures in found.confidence.items():
        for part, these in {"all": figures, **figures["by"]}.items():
            cells = [percent(these[name]) for name in ("said", "happened")]
            cells += [f"{these[name]:.4f}" for name in ("error", "by_chance", "skill")]
            rows.append([question, part, f"{these['recommendations']:,}", *cells])
    names = ("recommendations", "said", "happened", "error", "by chance", "skill")
    return _table(["asked", "of", *names], rows)


def _table(head: list[str], rows: list[list[str]], strong: Collection[str] = ()) -> str:
    """A table; the first column tells the rows, those in `strong` stand out."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr{' class=ours' if row[0] in strong else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'
