"""A recommendation as a card: HTML in which every text from the data is only text."""

from collections.abc import Mapping, Sequence
from html import escape

from erp.contract import BasketProduct, Recommendation, RecommendedProduct
from erp.pages.formats import Formats
from erp.pages.page import Text

LONGEST_BASKET = 60  # products shown of one basket
REASONS = 3  # products named as the reason of a recommendation, those with the largest shares

STYLE = """
.reco-grid {display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
  gap: 1rem; align-items: start}
.reco-card {border: 1px solid rgba(128,140,160,.35); border-radius: .8rem; padding: .9rem 1rem;
  min-width: 0; overflow-wrap: anywhere}
.reco-top {display: flex; justify-content: space-between; gap: .6rem; align-items: baseline}
.reco-top b {font-size: 1.02rem}
.reco-quiet {opacity: .7; font-size: .82rem}
.reco-facts {display: flex; flex-wrap: wrap; gap: .3rem; margin: .4rem 0 .7rem}
.reco-fact {border: 1px solid rgba(128,140,160,.35); border-radius: 1rem; padding: 0 .6rem;
  font-size: .8rem; max-width: 100%; white-space: nowrap; overflow: hidden; text-overflow: ellipsis}
.reco-fact.warn {border-color: #d9752b; color: #d9752b}
.reco-head {font-size: .78rem; font-weight: 600; opacity: .75; margin: .5rem 0 .25rem;
  display: flex; justify-content: space-between}
.reco-basket {max-height: 7.6rem; overflow-y: auto; background: rgba(128,140,160,.09);
  border-radius: .5rem; padding: .3rem .6rem; font-size: .84rem}
.reco-line {display: flex; justify-content: space-between; gap: .8rem; padding: .08rem 0}
.reco-line span:last-child {white-space: nowrap; font-variant-numeric: tabular-nums}
.reco-name {min-width: 0; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  overflow: hidden}
.reco-item {padding: .5rem 0 .45rem; border-top: 1px solid rgba(128,140,160,.2)}
.reco-item:first-of-type {border-top: 0}
.reco-title {display: flex; gap: .5rem; align-items: baseline; justify-content: space-between}
.reco-title .reco-name {font-weight: 600; font-size: .92rem}
.reco-source {font-size: .72rem; border-radius: .4rem; padding: .02rem .45rem; white-space: nowrap;
  background: rgba(31,95,191,.16)}
.reco-source.category {background: rgba(20,133,122,.2)}
.reco-source.popular {background: rgba(128,140,160,.22)}
.reco-bars {display: grid; grid-template-columns: repeat(3, 1fr); gap: .3rem .8rem;
  margin: .3rem 0 .15rem}
.reco-bar {font-size: .74rem}
.reco-bar div:first-child {display: flex; justify-content: space-between; gap: .3rem}
.reco-bar b {font-weight: 600; font-variant-numeric: tabular-nums}
.reco-track {height: .38rem; border-radius: .2rem; background: rgba(128,140,160,.22);
  overflow: hidden; margin-top: .12rem}
.reco-fill {height: 100%; border-radius: .2rem; background: #3a72cb}
.reco-fill.confidence {background: #14857a}
.reco-fill.rank {background: #8049c7}
"""


def cards(
    t: Text,
    fmt: Formats,
    recommendations: Sequence[Recommendation],
    names: Mapping[str, str | None],
) -> str:
    """The HTML of some cards; `names` of customers by their id."""
    shown = "".join(_card(t, fmt, r, names) for r in recommendations)
    return f'<style>{STYLE}</style><div class="reco-grid">{shown}</div>'


def _card(t: Text, fmt: Formats, r: Recommendation, names: Mapping[str, str | None]) -> str:
    facts = [
        (t("customer"), _customer(r.customer_id, names, t)),
        (t("store"), r.store_id or t("unknown")),
        (t("payment"), r.payment_type or t("unknown")),
    ]
    chips = "".join(
        f'<span class="reco-fact" title="{escape(value)}">{escape(name)}: '
        f"<bdi>{escape(value)}</bdi></span>"
        for name, value in facts
    )
    if not r.complete:
        chips += (
            f'<span class="reco-fact warn" title="{escape(t("reco_incomplete_help"))}">'
            f"{escape(t('reco_incomplete'))}</span>"
        )
    return (
        '<article class="reco-card">'
        f'<div class="reco-top"><b>{escape(t("sale"))} <bdi>{escape(r.sale_id)}</bdi></b>'
        f'<span class="reco-quiet">{escape(fmt.moment(r.timestamp))}</span></div>'
        f'<div class="reco-facts">{chips}</div>'
        f"{_basket(t, fmt, r.basket_products)}"
        f'<div class="reco-head"><span>{escape(t("reco_recommended"))}</span></div>'
        f"{''.join(_product(t, fmt, p) for p in r.recommendations)}"
        f"{_footer(t, fmt, r)}"
        "</article>"
    )


def _customer(customer: str | None, names: Mapping[str, str | None], t: Text) -> str:
    if not customer:
        return t("unknown")
    name = names.get(customer)
    return f"{name} ({customer})" if name else customer


def _basket(t: Text, fmt: Formats, basket: Sequence[BasketProduct]) -> str:
    total = sum(p.net_amount or 0.0 for p in basket)
    lines = "".join(
        '<div class="reco-line">'
        f'<span class="reco-name" title="{escape(_name(p))}"><bdi>{escape(_name(p))}</bdi></span>'
        f"<span>&times;{escape(fmt.number(p.quantity, 2))} · "
        f"{escape(fmt.money(p.net_amount))}</span>"
        "</div>"
        for p in basket[:LONGEST_BASKET]
    )
    if len(basket) > LONGEST_BASKET:
        more = t("reco_more", n=fmt.number(len(basket) - LONGEST_BASKET))
        lines += f'<div class="reco-quiet">{escape(more)}</div>'
    if not basket:
        lines = f'<div class="reco-quiet">{escape(t("reco_no_basket"))}</div>'
    bought = t("reco_bought", n=fmt.number(len(basket)))
    return (
        f'<div class="reco-head"><span>{escape(bought)}</span>'
        f"<span>{escape(fmt.money(total))}</span></div>"
        f'<div class="reco-basket">{lines}</div>'
    )


def _name(product: BasketProduct | RecommendedProduct) -> str:
    return product.product_name or product.product_id


def _product(t: Text, fmt: Formats, p: RecommendedProduct) -> str:
    source = p.source if p.source in {"model", "category", "popular"} else "other"
    why = [p.category] if p.category else []
    if p.because_of:
        reasons = ", ".join(
            f"{reason.product_name or reason.product_id} ({fmt.percent(reason.share / 100, 0)})"
            for reason in p.because_of[:REASONS]
        )
        if len(p.because_of) > REASONS:
            reasons += f" {t('reco_more', n=fmt.number(len(p.because_of) - REASONS))}"
        why.append(t("reco_because", reasons=reasons))
    elif p.source == "model":  # it knows the basket's products and the customer's habit
        why.append(t("reco_habit"))
    if p.support:
        why.append(t("reco_support", n=fmt.number(p.support)))
    bars = (
        _bar(t("reco_confidence"), fmt.percent(p.confidence_percentage / 100),
             p.confidence_percentage, "confidence", t("reco_confidence_help"))
        + _bar(t("reco_relevance"), fmt.percent(p.relevancia_percentage / 100, 0),
               p.relevancia_percentage, "relevance",
               t("reco_relevance_help", score=fmt.number(p.relevancia, 4)))
        + _bar(t("reco_ranking"), f"#{p.ranking}", p.ranking_percentage, "rank",
               t("reco_ranking_help", share=fmt.percent(p.ranking_percentage / 100, 0)))
    )  # fmt: skip
    label = t(f"reco_source_{source}") if source != "other" else p.source
    return (
        '<div class="reco-item"><div class="reco-title">'
        f'<span class="reco-name" title="{escape(_name(p))}"><bdi>{escape(_name(p))}</bdi></span>'
        f'<span class="reco-source {source}">{escape(label)}</span></div>'
        f'<div class="reco-bars">{bars}</div>'
        f'<div class="reco-quiet">{escape(" · ".join(why))}</div></div>'
    )


def _bar(name: str, value: str, percent: float, kind: str, help_text: str) -> str:
    width = min(max(percent, 0.0), 100.0)
    return (
        f'<div class="reco-bar" title="{escape(help_text)}">'
        f"<div><span>{escape(name)}</span><b>{escape(value)}</b></div>"
        f'<div class="reco-track"><div class="reco-fill {kind}" style="width:{width:.1f}%"></div>'
        "</div></div>"
    )


def _footer(t: Text, fmt: Formats, r: Recommendation) -> str:
    text = t(
        "reco_made",
        time=fmt.moment(r.created_at),
        latency=fmt.elapsed(r.latency_ms),
        algo=r.algo,
        version=r.model_version,
    )
    return f'<div class="reco-quiet">{escape(text)}</div>'
