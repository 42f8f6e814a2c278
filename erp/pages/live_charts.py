"""The figures of the live page: sales by hour and store, tickets per minute."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

import plotly.graph_objects as go

from erp.pages import charts

OTHERS_COLOUR = "rgba(128,140,160,.55)"
MANY_SLOTS = 60  # from here on bars touch each other
MOST_TICKS = 7
TICK_STEPS = [timedelta(minutes=m) for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)]


def stacked(
    slots: Sequence[datetime],
    series: Mapping[str, Sequence[float]],
    hover: Mapping[str, Sequence[str]],
    others: str | None,
    day: Callable[[date], str],
    separators: str,
) -> go.Figure:
    """Bars on top of each other, a colour a series; the one named `others` is grey.

    Names of series are labels already (`charts.label`); `day` writes a day for the axis.
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
    figure.update_layout(
        barmode="stack",
        bargap=0 if len(slots) > MANY_SLOTS else 0.15,
        showlegend=len(series) > 1,
        legend_traceorder="normal",
    )
    _time_axis(figure, slots, day)
    figure.update_yaxes(tickformat="~s")
    return figure


def rate(
    slots: Sequence[datetime],
    values: Sequence[float],
    hover: Sequence[str],
    day: Callable[[date], str],
    separators: str,
) -> go.Figure:
    """A filled line over time; `day` writes a day for the axis."""
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(slots))),
            y=list(values),
            mode="lines",
            line={"width": 2, "shape": "linear" if len(slots) > MANY_SLOTS else "hv"},
            fill="tozeroy",
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    charts.style(figure, separators)
    _time_axis(figure, slots, day)
    return figure


def _time_axis(figure: go.Figure, slots: Sequence[datetime], day: Callable[[date], str]) -> None:
    places, texts = time_ticks(slots, day)
    figure.update_xaxes(showgrid=False, ticks="", tickangle=0, tickvals=places, ticktext=texts)
    figure.update_yaxes(nticks=5, rangemode="tozero")


def time_ticks(
    slots: Sequence[datetime], day: Callable[[date], str]
) -> tuple[list[int], list[str]]:
    """Positions and texts of ticks at round times; at midnight the day stands for the time."""
    length = slots[-1] - slots[0]
    days = length / timedelta(days=1)
    steps = [step for step in TICK_STEPS if length / step <= MOST_TICKS]
    step = steps[0] if steps else timedelta(days=max(1, round(days / MOST_TICKS)))
    midnight = datetime.combine(slots[0], datetime.min.time())
    several = slots[0].date() != slots[-1].date()
    places = [i for i, slot in enumerate(slots) if not (slot - midnight) % step]
    texts = [
        day(slots[i]) if several and slots[i] == _day_of(slots[i]) else f"{slots[i]:%H:%M}"
        for i in places
    ]
    return places, texts


def _day_of(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
