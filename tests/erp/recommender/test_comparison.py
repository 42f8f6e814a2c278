"""A model beside its peers, as figures, as a page and as tables."""

import json
import random
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from erp.recommender import ModelSettings, evaluation_report, evaluation_tables
from erp.recommender.comparison import OURS, OURS_KNOWN, compare
from tests.basket_samples import baskets_of


@pytest.fixture(scope="module")
def found():
    """Pairs that always go together, in two stores, one of them with a name that is markup."""
    draw = random.Random(3)
    pairs = [(f"p{n:02d}", f"q{n:02d}") for n in range(20)]
    chosen = [draw.choice(pairs) for _ in range(1_500)]
    customers = [f"c{draw.randrange(30)}" for _ in chosen]
    stores = [draw.choice(["1", "<b>2</b>"]) for _ in chosen]
    return compare(baskets_of(chosen, customers, stores), ModelSettings())


def test_pairs_are_found_by_every_model_but_popularity(found):
    """The other one of a pair is always the answer."""
    hits = {name: figures["hit@5"].value for name, figures in found.ranking.items()}
    assert 1.0 == hits[OURS] == hits[OURS_KNOWN] == hits["EASE"] == hits["SAR Jaccard"]
    assert 1.0 == hits["implicit Cosine"]
    assert hits["popularity"] < 0.5
    assert 1.0 == found.ratio.value


def test_all_groups_are_there(found):
    """One product shown each, two stores; confidence by size, source and, where large, by store."""
    assert {"1"} == found.groups["size"].keys()
    assert {"1", "<b>2</b>"} == found.groups["store"].keys()
    assert {"next sale", "hidden half"} == found.confidence.keys()
    assert 1.0 == pytest.approx(sum(found.sources[OURS].values()))


def test_too_few_sales_give_no_comparison():
    """None of the newest has two products."""
    assert compare(baskets_of([["a", "b"]] * 10 + [["a"]] * 5), ModelSettings(), share=0.3) is None


def test_json_and_page_are_written(found, tmp_path):
    """The page is whole, small, and needs nothing else; what the data says is no markup."""
    data, page = evaluation_report.write(found, tmp_path / "new", "now")
    told = json.loads(data.read_text())
    assert {"value", "low", "high"} == told["ranking"][OURS]["hit@10"].keys()
    assert found.asked == told["asked"]
    html = page.read_text()
    assert len(html) < 100_000
    assert "<b>2</b>" not in html
    assert "&lt;b&gt;2&lt;/b&gt;" in html
    read = Elements()
    read.feed(html)
    assert read.open == []
    assert 5 == read.seen.count("svg")
    assert set() == {"script", "link", "img", "iframe"} & {*read.seen}
    for word in ("popularity", "EASE", "implicit BM25", "next sale", "hidden half"):
        assert word in html


class Elements(HTMLParser):
    """The elements of a page: all that were seen, and those that were left open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002  the parser's
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """A line or a circle."""

    def handle_endtag(self, tag):
        assert tag == self.open.pop()


def test_a_terminal_of_80_columns_cuts_no_figure(found):
    """Every metric of every model is there in full."""
    console = Console(width=80, record=True, file=StringIO())
    for part in evaluation_tables.tables(found):
        console.print(part)
    text = console.export_text()
    assert "…" not in text
    for name in ("implicit Cosine", "hit@10 repeat", "coverage", "size 1", "store"):
        assert name in text
