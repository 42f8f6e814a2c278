"""The figures of the page of recommendations."""

from collections.abc import Sequence

import plotly.graph_objects as go

from erp.pages import charts
from erp.pages.recommendation_metrics import Band

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


def calibration(bands: Sequence[Band], hover: Sequence[str], separators: str) -> go.Figure:
    """What was said (across) and what happened (upwards), with the diagonal of the truth."""
    top = 1.1 * max([1.0, *(max(band.said, band.happened) for band in bands)]) / 100
    figure = go.Figure()
    figure.add_scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        hoverinfo="skip",
        line={"dash": "dot", "width": 1.5, "color": "rgba(128,140,160,.8)"},
    )
    figure.add_scatter(
        x=[band.said / 100 for band in bands],
        y=[band.happened / 100 for band in bands],
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
