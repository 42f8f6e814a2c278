"""The figures of the live page: sales by hour and store, tickets per minute."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from erp import charts

OTHERS_COLOUR = "rgba(128,140,160,.55)"


def stacked(
    slots: Sequence[str],
    series: Mapping[str, Sequence[float]],
    hover: Mapping[str, Sequence[str]],
    others: str | None,
    separators: str,
) -> go.Figure:
    """Bars on top of each other, a colour a series; the one named `others` is grey.

    Slots and names of series are labels already (`charts.label`).
    """
    figure = go.Figure()
    for name, values in series.items():
        figure.add_bar(
            x=list(range(len(slots))),
            y=list(values),
            name=name,
            hovertext=list(hover[name]),
            hovertemplate="%{hovertext}<extra></extra>",
            marker_line_width=0,
            marker_color=OTHERS_COLOUR if name == others else None,
        )
    charts.style(figure, separators)
    figure.update_layout(barmode="stack", bargap=0.15, showlegend=len(series) > 1)
    _time_axis(figure, slots)
    return figure


def rate(
    slots: Sequence[str], values: Sequence[float], hover: Sequence[str], sep: str
) -> go.Figure:
    """A filled line over time."""
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(slots))),
            y=list(values),
            mode="lines",
            line={"width": 2, "shape": "hv" if len(slots) < 120 else "linear"},
            fill="tozeroy",
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    charts.style(figure, sep)
    _time_axis(figure, slots)
    return figure


def _time_axis(figure: go.Figure, slots: Sequence[str]) -> None:
    ticks = charts.ticks(range(len(slots)), slots)
    figure.update_xaxes(showgrid=False, ticks="", tickangle=0, **ticks)
    figure.update_yaxes(tickformat="~s", nticks=5, rangemode="tozero")
