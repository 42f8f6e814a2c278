"""The history page as a test looks at it."""

import re

from playwright.sync_api import expect

from erp.pages.formats import Formats
from tests.pages.served import Visit
from tests.waiting import PATIENCE

SCRIPT = "erp_dashboard.py"


def metrics(visit: Visit) -> dict[str, str]:
    """The key figures as they are written on the page."""
    found = visit.page.locator('[data-testid="stMetric"]').all()
    return {
        each.locator('[data-testid="stMetricLabel"]').inner_text().strip(): each.locator(
            '[data-testid="stMetricValue"]'
        )
        .inner_text()
        .strip()
        for each in found
    }


def assert_shows(visit: Visit, expected: tuple[int, int], fmt: Formats | None = None) -> None:
    """The page comes to show these tickets and this net."""
    fmt = fmt or Formats("es_ES", "EUR", "UTC")
    tickets, net = expected
    labels = {"es": ("Tickets", "Ventas netas"), "en": ("Tickets", "Net sales")}
    tickets_label, net_label = labels[fmt.locale.language]
    shown = visit.page.get_by_test_id("stMetric").filter(
        has=visit.page.get_by_text(tickets_label, exact=True)
    )
    number = re.compile(rf"(^|\s){re.escape(fmt.number(tickets))}(\s|$)")
    expect(shown.first).to_have_text(number, use_inner_text=True, timeout=PATIENCE * 1000)
    visit.settle()
    found = metrics(visit)
    assert fmt.number(tickets) == found[tickets_label]
    assert fmt.money_short(net / 100) == found[net_label]


def click_bar(visit: Visit, chart: str, number: int) -> None:
    """Click a bar of a chart, counted from the first; the address changes."""
    bar = visit.page.locator(f".st-key-{chart} .bars .point path").nth(number)
    before = visit.page.url

    def click() -> None:
        bar.scroll_into_view_if_needed()
        box = bar.bounding_box()
        visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    visit.insist(click, lambda: visit.page.url != before)


def clear(visit: Visit) -> None:
    """Take every filter away."""
    button = visit.page.locator(".st-key-clear button")
    visit.insist(button.click, lambda: visit.query() == {})
