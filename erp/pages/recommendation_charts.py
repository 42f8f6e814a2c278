"""The figures of the page of recommendations."""

from collections.abc import Sequence

import plotly.graph_objects as go

from erp.intervals import Estimate
from erp.pages import charts

HEIGHT = 260  # px


def histogram(
    labels: Sequence[str], counts: Sequence[int], hover: Sequence[str], separators: str
) -> go.Figure:
    """Bars side by side; `labels` of the left edge of each."""
    figure = go.Figure(
        go.Bar(
            x=list(range(len(counts))),
            y=list(counts),
            hovertext=list(hover),
            hovertemplate="%{hovertext}<extra></extra>",
            marker_line_width=0,
        )
    )
    charts.style(figure, separators, HEIGHT)
    figure.update_layout(bargap=0.06)
    figure.update_xaxes(
        showgrid=False, ticks="", tickangle=0, **charts.ticks(range(len(labels)), labels, most=6)
    )
    figure.update_yaxes(tickformat="~s", nticks=min(5, max(counts) + 1), rangemode="tozero")
    return figure


def calibration(
    said: Sequence[float], happened: Sequence[Estimate], hover: Sequence[str], separators: str
) -> go.Figure:
    """What was said (across, 0 to 1), what happened (upwards), and the diagonal of the truth."""
    top = 1.1 * max([0.01, *said, *(share.value for share in happened)])
    figure = go.Figure()
    figure.add_scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        hoverinfo="skip",
        line={"dash": "dot", "width": 1.5, "color": "rgba(128,140,160,.8)"},
    )
    figure.add_scatter(
        x=list(said),
        y=[share.value for share in happened],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [share.high - share.value for share in happened],
            "arrayminus": [share.value - share.low for share in happened],
            "thickness": 1,
        },
        mode="lines+markers",
        marker={"size": 10},
        hovertext=list(hover),
        hovertemplate="%{hovertext}<extra></extra>",
    )
    charts.style(figure, separators, 300)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(tickformat=".0%", range=[0, top], nticks=6)
    figure.update_yaxes(tickformat=".0%", range=[0, top], nticks=6)
    return figure
