"""The views of the page of recommendations besides its cards: the model, the debug panel."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec
import numpy as np
import pandas as pd
import streamlit as st

from erp.contract import Recommendation
from erp.pages import charts, page
from erp.pages import recommendation_charts as figures
from erp.pages.formats import Formats
from erp.pages.recommendation_feed import HELD, State
from erp.pages.recommendation_metrics import Summary, summarize, trained_at

BINS = 20


def model(
    t: page.Text,
    fmt: Formats,
    found: Sequence[Recommendation],
    catalogue: int | None,
) -> None:
    """Figures and distributions of the recommendations that match, newest answer first."""
    summary = summarize(found)
    _figures(t, fmt, summary, catalogue)
    _distributions(t, fmt, summary)


def _figures(t: page.Text, fmt: Formats, summary: Summary, catalogue: int | None) -> None:
    version = next(iter(summary.versions))
    trained = trained_at(version)
    distinct = fmt.number(summary.distinct_products)
    median, slow = np.percentile(summary.latency_ms, [50, 95])
    mean = float(summary.confidence.mean()) / 100 if summary.products else None
    with st.grid("auto", min_column_width=250):
        st.metric(t("reco_answers"), fmt.number(summary.answers), border=True)
        st.metric(
            t("reco_mean_confidence"),
            fmt.percent(mean),
            border=True,
            help=t("reco_confidence_help"),
        )
        st.metric(
            t("reco_coverage"),
            fmt.percent(summary.distinct_products / catalogue if catalogue else None, 2),
            border=True,
            help=t("reco_coverage_help", n=distinct, total=fmt.number(catalogue))
            if catalogue
            else t("reco_coverage_unknown", n=distinct),
        )
        for name, value in (("reco_latency", median), ("reco_latency_95", slow)):
            st.metric(
                t(name),
                fmt.elapsed(value),
                border=True,
                help=t("reco_latency_help"),
            )
        age = (datetime.now(UTC) - trained).total_seconds() if trained else None
        st.metric(
            t("reco_model_age"),
            fmt.duration(age),
            border=True,
            help=page.plain(t("reco_model_version", version=version)),
        )
    st.caption(page.plain(t("reco_model_version", version=version)))


def _distributions(t: page.Text, fmt: Formats, summary: Summary) -> None:
    if not summary.products:
        return
    products = partial(_of_products, t, fmt)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(t("reco_distribution"), anchor=False)
        _histogram(
            "confidence",
            summary.confidence / 100,
            fmt.percent,
            products,
            fmt,
            t("reco_distribution"),
        )
        st.subheader(t("reco_by_source"), anchor=False)
        _sources(t, fmt, summary)
    with right:
        st.subheader(t("reco_distribution_relevance"), anchor=False)
        _histogram(
            "relevance",
            summary.relevance,
            partial(fmt.number, digits=3),
            products,
            fmt,
            t("reco_distribution_relevance"),
        )
        st.subheader(t("reco_latency_distribution"), anchor=False)
        _histogram(
            "latency",
            summary.latency_ms,
            fmt.elapsed,
            lambda n: t("reco_answers_n", n=fmt.number(n)),
            fmt,
            t("reco_latency_distribution"),
        )


def _of_products(t: page.Text, fmt: Formats, n: int) -> str:
    return t("reco_products_n", n=fmt.number(n))


def _histogram(
    key: str,
    values: np.ndarray,
    write: Callable[[float], str],
    count: Callable[[int], str],
    fmt: Formats,
    alt: str,
) -> None:
    """Bars up to the 99th percentile; what lies beyond is counted in the last one."""
    step = _round_step(float(np.percentile(values, 99)) / BINS)
    edges = step * np.arange(BINS + 1)
    counts, _ = np.histogram(np.clip(values, 0, edges[-1]), edges)
    hover = [
        f"{write(low)} – {write(high)}<br><b>{count(int(n))}</b>"
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    labels = [write(low) for low in edges[:-1]]
    page.chart(figures.histogram(labels, counts.tolist(), hover, fmt.separators), key, alt=alt)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= least * 0.999))


def _sources(t: page.Text, fmt: Formats, summary: Summary) -> None:
    names, hover = [], []
    for source, n in summary.by_source.items():
        known = source in {"model", "category", "popular"}
        name = t(f"reco_source_{source}") if known else source
        names.append(f"{name} · {fmt.percent(n / summary.products)}")
        hover.append(f"{charts.full(name)}<br><b>{_of_products(t, fmt, n)}</b>")
    page.chart(
        charts.ranking(
            names,
            list(summary.by_source.values()),
            hover,
            list(summary.by_source),
            fmt.separators,
        ),
        "sources",
        alt=t("reco_by_source"),
    )


def debug(t: page.Text, fmt: Formats, state: State, topic: str) -> None:
    """Where the reading stands; nothing secret is in it."""
    fine = t("reco_debug_fine")
    last = None if state.last_read is None else time.time() - state.last_read
    rows = [
        (t("reco_debug_topic"), topic),
        (t("reco_debug_source"), t(f"reco_from_{state.source}")),
        (f"{t('reco_debug_problem')}: Kafka", state.kafka_problem or fine),
        (f"{t('reco_debug_problem')}: MongoDB", state.mongo_problem or fine),
        (t("reco_debug_read"), fmt.number(state.read)),
        (t("reco_debug_raw"), fmt.ago(last)),
        (t("reco_debug_bad"), fmt.number(state.unreadable)),
        (t("reco_debug_held", n=fmt.number(HELD)), fmt.number(len(state.recommendations))),
    ]
    if state.last_unreadable:
        rows.append((t("reco_debug_bad"), state.last_unreadable))
    page.table(
        pd.DataFrame(
            [
                {"n": p.number, "low": p.low, "high": p.high, "at": p.position, "lag": p.lag}
                for p in state.partitions
            ],
            columns=["n", "low", "high", "at", "lag"],
        ),
        {
            "n": (t("reco_partition"), "number"),
            "low": (t("reco_low"), "number"),
            "high": (t("reco_high"), "number"),
            "at": (t("reco_position"), "number"),
            "lag": (t("reco_lag"), "number"),
        },
        fmt,
        key="partitions",
    )
    page.table(
        pd.DataFrame(rows, columns=["item", "value"]),
        {"item": (t("reco_debug_item"), "text"), "value": (t("reco_debug_value"), "text")},
        fmt,
        key="feed",
    )
    st.caption(t("reco_debug_group"))
    if state.recommendations:
        with st.expander(t("reco_debug_raw")):
            raw = msgspec.json.format(msgspec.json.encode(state.recommendations[0]), indent=2)
            st.code(raw.decode(), language="json")
