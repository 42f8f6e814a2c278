"""The figures of the evaluation page: SVG as text, coloured by the page's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import floor, log10

from erp.intervals import Estimate

WIDTH, LABELS = 720, 210  # px
ROW, MARK = 18, 8  # px: of each row, and of each mark in it
SIDE, MARGIN = 300, 44  # px, of a square figure

Row = tuple[str, Sequence[tuple[str, Estimate]]]  # label, (css class, value) of each mark


def intervals(rows: Sequence[Row]) -> str:
    """A line for each row: marks with their 95 % intervals, shares from 0 on."""
    top = max((mark.high for _, marks in rows for _, mark in marks), default=1.0) or 1.0
    step = tick_step(top)
    tall = ROW + MARK * max((len(marks) for _, marks in rows), default=1) - MARK + 6
    height = tall * len(rows) + 30

    def across(value: float) -> float:
        return LABELS + (WIDTH - LABELS - 70) * value / top

    parts = [
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 24}"/>'
        f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{percent(at)}</text>'
        for at in (step * n for n in range(int(top / step) + 1))
        for x in (across(at),)
    ]
    for number, (label, marks) in enumerate(rows):
        middle = tall * (number + 0.5) + 2
        parts.append(
            f'<text x="{LABELS - 10}" y="{middle + 4}" text-anchor="end">{_short(label)}</text>'
        )
        for place, (kind, mark) in enumerate(marks):
            y = middle + MARK * (place - (len(marks) - 1) / 2)
            apart = f"{percent(mark.low)} to {percent(mark.high)}"
            hint = f"{escape(label)}: {percent(mark.value)} ({apart})"
            low, high = across(mark.low), across(mark.high)
            parts.append(
                f'<g class="{kind}"><title>{hint}</title>'
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
                f'<circle cx="{across(mark.value):.1f}" cy="{y}" r="4"/></g>'
            )
        if len(marks) == 1:
            end = across(marks[0][1].high) + 8
            value = percent(marks[0][1].value)
            parts.append(f'<text x="{end:.1f}" y="{middle + 4}">{value}</text>')
    return _svg(WIDTH, height, parts)


def reliability(bins: Sequence[dict]) -> str:
    """What was said (across) and what happened (upwards); on the diagonal the two agree."""
    top = 1.05 * max((max(one["said"], one["happened"].high) for one in bins), default=1.0) or 1.0
    step = tick_step(top)

    def at(said: float, happened: float) -> tuple[float, float]:
        return MARGIN + SIDE * said / top, 10 + SIDE - SIDE * happened / top

    parts = []
    for value in (step * n for n in range(int(top / step) + 1)):
        x, y = at(value, value)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="10" y2="{10 + SIDE}"/>'
            f'<line class="grid" x1="{MARGIN}" x2="{MARGIN + SIDE}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{x:.1f}" y="{SIDE + 26}" text-anchor="middle">'
            f"{percent(value)}</text>"
            f'<text class="tick" x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{percent(value)}</text>"
        )
    (x0, y0), (x1, y1) = at(0, 0), at(top, top)
    parts.append(f'<line class="diagonal" x1="{x0}" y1="{y0}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    for one in bins:
        happened = one["happened"]
        x, y = at(one["said"], happened.value)
        (_, low), (_, high) = at(0, happened.low), at(0, happened.high)
        hint = (
            f"said {percent(one['said'])}, happened {percent(happened.value)} of {one['count']:,}"
        )
        parts.append(
            f'<g class="ours"><title>{hint}</title>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/></g>'
        )
    return _svg(MARGIN + SIDE + 12, SIDE + 34, parts)


def tick_step(top: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that gives at most eight steps.

    >>> tick_step(0.31)
    0.05
    """
    power = 10.0 ** floor(log10(top / 8))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= top / 8)


def percent(share: float) -> str:
    """0.1234 as 12.3 %; a whole number where it is one."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _short(label: str) -> str:
    return escape(label if len(label) <= 30 else label[:29] + "…")


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}">{"".join(parts)}</svg>'
