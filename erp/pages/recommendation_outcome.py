"""Did it help: what came of the recommendations, and what the last training decided."""

from collections.abc import Sequence
from datetime import date

import pandas as pd
import streamlit as st

from erp.decisions import Decision
from erp.intervals import Estimate
from erp.pages import page
from erp.pages import recommendation_charts as figures
from erp.pages.formats import MISSING, Formats
from erp.processor.acceptance import Group, Performance

KINDS = ["rank", "source", "confidence", "version", "arm"]  # in the reader's choice


def outcome(t: page.Text, fmt: Formats, performance: Performance | None, *, away: bool) -> None:
    """Acceptance beside the control group, and what was said beside what happened."""
    st.subheader(t("reco_outcome"), anchor=False, help=t("reco_outcome_help"))
    if performance is None or not performance.groups:
        days = performance.days if performance else 0
        key = "away" if away else "waiting" if performance else "none"
        st.info(t(f"reco_outcome_{key}", days=fmt.number(days)), icon=":material/pending:")
        return
    st.caption(
        page.plain(
            t(
                "reco_outcome_of",
                first=_day(fmt, performance.first_day),
                last=_day(fmt, performance.last_day),
                days=fmt.number(performance.days),
                anonymous=fmt.number(performance.anonymous),
            )
        )
    )
    _headline(t, fmt, performance)
    left, right = st.columns(2, gap="medium")
    with left:
        _calibration(t, fmt, performance.of("confidence"))
    with right:
        _by(t, fmt, performance)


def _headline(t: page.Text, fmt: Formats, performance: Performance) -> None:
    arms = {group.key: group for group in performance.of("arm")}
    model, lift = arms.get("model"), performance.lift
    with st.grid("auto", min_column_width=190):
        _share(t, fmt, "reco_accepted", model.acceptance if model else None)
        _share(t, fmt, "reco_answers_hit", model.hit if model else None)
        st.metric(
            t("reco_lift"),
            t("reco_points", n=_points(fmt, lift.value)) if lift else MISSING,
            t("reco_interval", low=_points(fmt, lift.low), high=_points(fmt, lift.high))
            if lift
            else t("reco_no_control"),
            delta_color="off",
            delta_arrow="off",
            border=True,
            help=t("reco_lift_help"),
        )
        st.metric(
            t("reco_bought_next"),
            fmt.percent(model.bought_next.value if model and model.returned else None),
            t("reco_said", value=fmt.percent(model.stated if model else None)),
            delta_color="off",
            delta_arrow="off",
            border=True,
            help=t("reco_calibration_help"),
        )


def _share(t: page.Text, fmt: Formats, name: str, estimate: Estimate | None) -> None:
    st.metric(
        t(name),
        fmt.percent(estimate.value if estimate else None),
        _interval(t, fmt, estimate) if estimate else None,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t(f"{name}_help"),
    )


def _day(fmt: Formats, day: str | None) -> str:
    return fmt.day(date.fromisoformat(day) if day else None)


def _points(fmt: Formats, share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return ("+" if share > 0 else "") + fmt.number(100 * share, 1)


def _interval(t: page.Text, fmt: Formats, estimate: Estimate) -> str:
    return t("reco_interval", low=fmt.percent(estimate.low), high=fmt.percent(estimate.high))


def _calibration(t: page.Text, fmt: Formats, groups: Sequence[Group]) -> None:
    bands = [group for group in groups if group.returned]
    st.markdown(f"**{t('reco_calibration')}**", help=t("reco_calibration_help"))
    if not bands:
        st.caption(t("reco_not_returned"))
        return
    hover = [
        t(
            "reco_calibration_point",
            said=fmt.percent(band.stated),
            happened=fmt.percent(band.bought_next.value),
            n=fmt.number(band.returned),
        )
        for band in bands
    ]
    page.chart(
        figures.calibration(
            [band.stated or 0.0 for band in bands],
            [band.bought_next for band in bands],
            hover,
            fmt.separators,
        ),
        "calibration",
        alt=t("reco_calibration"),
    )


def _by(t: page.Text, fmt: Formats, performance: Performance) -> None:
    kinds = {kind: t(f"reco_kind_{kind}") for kind in KINDS}
    kind = st.segmented_control(
        t("reco_accepted_by"),
        KINDS,
        default="rank",
        format_func=kinds.__getitem__,
        required=True,
        key="accepted_by",
    )
    groups = performance.of(kind)
    page.table(
        pd.DataFrame(
            {
                "key": [_name(t, kind, group.key) for group in groups],
                "acceptance": [group.acceptance.value for group in groups],
                "interval": [
                    f"{fmt.percent(group.acceptance.low)} – {fmt.percent(group.acceptance.high)}"
                    for group in groups
                ],
                "hit": [group.hit.value for group in groups],
                "products": [group.products for group in groups],
                "answers": [group.answers for group in groups],
            }
        ),
        {
            "key": (kinds[kind], "text"),
            "acceptance": (t("reco_accepted"), "percent"),
            "interval": (t("reco_interval_heading"), "text"),
            "hit": (t("reco_answers_hit"), "percent"),
            "products": (t("reco_products"), "number"),
            "answers": (t("reco_sales"), "number"),
        },
        fmt,
        key=f"accepted_by_{kind}",
    )


def _name(t: page.Text, kind: str, key: str) -> str:
    if kind == "confidence":
        return f"{key.replace('-', ' – ')} %"
    named = {"source": ("model", "category", "popular"), "arm": ("model", "control")}
    return t(f"reco_{kind}_{key}") if key in named.get(kind, ()) else key


def last_training(t: page.Text, fmt: Formats, decision: Decision | None) -> None:
    """What `--only-if-better` decided the last time, if it ever did."""
    if decision is None:
        return
    st.subheader(t("reco_training"), anchor=False, help=t("reco_training_help"))
    words = [
        t("reco_replaced" if decision.replaced else "reco_kept"),
        t(f"reco_reason_{decision.reason.replace(' ', '_')}"),
    ]
    if decision.ratio is not None:
        words.append(
            t(
                "reco_compared",
                candidate=fmt.percent(decision.candidate),
                before=t(f"reco_before_{decision.compared.replace(' ', '_')}"),
                in_service=fmt.percent(decision.in_service),
                ratio=fmt.number(decision.ratio, 3),
                low=fmt.number(decision.low, 3),
                high=fmt.number(decision.high, 3),
                asked=fmt.number(decision.asked),
                margin=fmt.percent(decision.margin),
            )
        )
    icon = ":material/check_circle:" if decision.replaced else ":material/history:"
    st.info(f"{fmt.moment(decision.decided_at)}: {' '.join(words)}", icon=icon)
