"""Plotly figures in one look; colours come from the page's theme, so that they fit light and dark.

Every text that comes from the data goes through `label` or `full`: Plotly reads some HTML in
labels, and takes a name made of digits for a number.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

HEIGHT = 340  # px
ROW_HEIGHT = 26  # px, of a horizontal bar
LABEL = 26  # characters of a name on an axis

Colour = tuple[int, ...]  # red, green, blue: 0 to 255

SMALL: Colour = (150, 184, 232)  # of tiles; seen on light and on dark
LARGE: Colour = (22, 66, 138)

_LINE = "rgba(128, 140, 160, 0.9)"  # seen on light and on dark

Texts = Sequence[str]
Column = Sequence[Any] | pl.Series
Values = Sequence[float | None] | pl.Series


def label(text: Any, width: int = LABEL) -> str:
    """A text for an axis or a tile: as it is written, on one line, of at most `width` characters.

    A longer one loses its middle, because names that begin alike end differently.
    """
    line = " ".join(_printable(str(text)).split())
    if len(line) <= width:
        return _escape(line)
    tail = width // 3
    return _escape(f"{line[: width - tail - 1].rstrip()}…{line[-tail:].lstrip()}")


def full(text: Any, width: int = 60) -> str:
    """A text for a hover box: as it is written, whole, in lines of `width` characters."""
    lines = textwrap.wrap(" ".join(_printable(str(text)).split()), width) or [""]
    return "<br>".join(_escape(line) for line in lines)


def distinct(texts: Sequence[Any], width: int = LABEL) -> list[str]:
    """Labels of a category axis; two that are cut to the same text stay two."""
    seen: dict[str, int] = {}
    labels = []
    for text in texts:
        name = label(text, width)
        seen[name] = seen.get(name, 0) + 1
        labels.append(name + "\u200b" * (seen[name] - 1))  # zero-width: equal to the eye
    return labels


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def style(figure: go.Figure, separators: str, height: int = HEIGHT) -> go.Figure:
    """The look that all figures share. `separators`: decimal and group sign, `,.`."""
    figure.update_layout(
        height=height,
        separators=separators,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title_text": ""},
        hoverlabel={"align": "left", "namelength": -1},
        bargap=0.25,
        dragmode=False,
        clickmode="event+select",
    )
    figure.update_xaxes(automargin=True, title_text="", fixedrange=True)
    figure.update_yaxes(automargin=True, title_text="", fixedrange=True)
    return figure


def ticks(values: Column, texts: Texts, most: int = 8) -> dict[str, Any]:
    """Axis settings that show about `most` of the ticks, in the reader's words."""
    step = max(1, -(-len(values) // most))
    return {"tickmode": "array", "tickvals": list(values[::step]), "ticktext": list(texts[::step])}


def ranking(
    names: Sequence[Any],
    values: Values,
    hover: Texts,
    ids: Column,
    separators: str,
    width: int = LABEL,
) -> go.Figure:
    """Horizontal bars, the first on top; a click gives the id in `customdata`.

    `width`: characters of a name that are shown.
    """
    axis = distinct(names, width)
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=axis,
            orientation="h",
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
            customdata=[[identifier] for identifier in ids],
        )
    )
    style(figure, separators, height=60 + ROW_HEIGHT * max(len(axis), 3))
    figure.update_yaxes(type="category", autorange="reversed", ticks="")
    figure.update_xaxes(tickformat="~s", nticks=5)
    return figure


def trend(
    days: Column,
    values: Values,
    average: Values,
    hover: Texts,
    names: tuple[str, str],
    tick_texts: Texts,
    separators: str,
) -> go.Figure:
    """Bars over time with their moving average; `names` of the two for the legend."""
    figure = go.Figure()
    figure.add_bar(
        x=list(days),
        y=list(values),
        name=names[0],
        hovertext=list(hover),
        hovertemplate="%{hovertext}<extra></extra>",
        opacity=0.55,
        marker_line_width=0,
    )
    figure.add_scatter(
        x=list(days), y=list(average), name=names[1], mode="lines", hoverinfo="skip", line_width=2.5
    )
    style(figure, separators)
    figure.update_xaxes(type="category", showgrid=False, **ticks(days, tick_texts))
    figure.update_yaxes(tickformat="~s", nticks=6, rangemode="tozero")
    return figure


def pareto(
    names: Sequence[Any], values: Values, cumulative: Values, hover: Texts, separators: str
) -> go.Figure:
    """Bars from large to small, and the share that they reach together (ratio) on the right."""
    figure = go.Figure()
    positions = list(range(1, len(names) + 1))
    figure.add_bar(
        x=positions,
        y=list(values),
        hovertext=list(hover),
        hovertemplate="%{hovertext}<extra></extra>",
        marker_line_width=0,
    )
    figure.add_scatter(
        x=positions, y=list(cumulative), yaxis="y2", mode="lines", hoverinfo="skip", line_width=2.5
    )
    style(figure, separators)
    figure.update_layout(
        showlegend=False,
        bargap=0.1,
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.04],
            "tickformat": ".0%",
            "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1],
            "showgrid": False,
            "fixedrange": True,
            "title_text": "",
        },
    )
    figure.add_hline(y=0.8, yref="y2", line_dash="dot", line_width=1, line_color=_LINE)
    figure.update_xaxes(showgrid=False, nticks=8)
    figure.update_layout(yaxis={"tickformat": "~s", "nticks": 6, "rangemode": "tozero"})
    return figure


def heatmap(
    columns: Texts, rows: Texts, values: Sequence[Values], hover: Sequence[Texts], separators: str
) -> go.Figure:
    """A table of colours; `values` by row, the first row on top."""
    figure = go.Figure(
        go.Heatmap(
            x=list(columns),
            y=list(rows),
            z=[list(row) for row in values],
            hovertext=[list(row) for row in hover],
            hovertemplate="%{hovertext}<extra></extra>",
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    style(figure, separators, height=70 + 32 * len(rows))
    figure.update_xaxes(type="category", showgrid=False, ticks="")
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed", ticks="")
    return figure


def tiles(
    names: Sequence[Any],
    values: Sequence[float] | pl.Series,
    hover: Texts,
    ids: Column,
    separators: str,
    size: tuple[float, float] = (14, 10),
) -> go.Figure:
    """A treemap: tiles of which the area is the value (above 0, from large to small).

    Drawn as bars, because a tile of Plotly's own treemap cannot be clicked in Streamlit; a click
    gives the id in `customdata`.
    """
    boxes = squarify(values, *size)
    colours = [_shade(value / values[0]) for value in values]
    figure = go.Figure(
        go.Bar(
            x=[x + width / 2 for x, _, width, _ in boxes],
            width=[width for _, _, width, _ in boxes],
            base=[y for _, y, _, _ in boxes],
            y=[height for _, _, _, height in boxes],
            text=[_wrapped(name) for name in names],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont={"color": [_readable_on(colour) for colour in colours]},
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
            customdata=[[identifier] for identifier in ids],
            marker={"color": [_hex(colour) for colour in colours], "line": {"width": 1.5}},
        )
    )
    style(figure, separators, height=380)
    figure.update_layout(uniformtext={"minsize": 9, "mode": "hide"})
    figure.update_xaxes(visible=False, range=[0, size[0]])
    figure.update_yaxes(visible=False, range=[size[1], 0])
    return figure


def _shade(ratio: float) -> Colour:
    """From light for a small ratio to dark for 1; the root keeps small ones apart."""
    share = math.sqrt(ratio)
    return tuple(round(a + (b - a) * share) for a, b in zip(SMALL, LARGE, strict=True))


def _readable_on(colour: Colour) -> str:
    """Black or white, whichever is seen better (relative luminance of WCAG 2.2): 4.5 : 1 or more.

    Plotly would choose a text colour only for a colour that it is given by name, not by value.
    """
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _wrapped(name: Any) -> str:
    """A name in up to three short lines, to fit a tile."""
    line = " ".join(_printable(str(name)).split()).replace("/", "/ ")  # a place to break
    lines = textwrap.wrap(line, 15, max_lines=3, placeholder="…")
    return "<br>".join(_escape(each.replace("/ ", "/")) for each in lines)


def squarify(
    values: Sequence[float] | pl.Series, width: float, height: float
) -> list[tuple[float, float, float, float]]:
    """Rectangles (x, y, width, height) that fill the space in proportion to the values.

    Values are above 0, from large to small. Each row takes values as long as its worst aspect
    ratio gets better (Bruls, Huizing, van Wijk 2000, "Squarified Treemaps").
    """
    total = sum(values)
    areas = [value * width * height / total for value in values]
    boxes: list[tuple[float, float, float, float]] = []
    x = y = 0.0
    while areas:
        side = min(width, height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(
            areas[:count], side
        ):
            count += 1
        row, areas = areas[:count], areas[count:]
        depth = sum(row) / side
        place = 0.0
        for area in row:
            length = area / depth
            boxes.append(
                (x, y + place, depth, length) if width >= height else (x + place, y, length, depth)
            )
            place += length
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    total = sum(row) ** 2
    return max(side**2 * max(row) / total, total / (side**2 * min(row)))


def columns(names: Texts, values: Values, hover: Texts, separators: str) -> go.Figure:
    """Vertical bars in the order given; some of them have their name below."""
    axis = distinct(names)
    figure = go.Figure(
        go.Bar(
            x=axis,
            y=list(values),
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    style(figure, separators)
    figure.update_xaxes(
        type="category", showgrid=False, ticks="", tickangle=0, **ticks(axis, axis, most=6)
    )
    figure.update_yaxes(tickformat="~s", nticks=6, rangemode="tozero")
    return figure
