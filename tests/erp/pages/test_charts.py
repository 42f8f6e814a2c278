"""What goes into the figures."""

import pytest

from erp.pages import charts

HARD_NAMES = [
    "<b>bold</b> & <script>alert(1)</script>",
    "=HYPERLINK(1)",
    "2017-01-01",
    "1234",
    "😀" * 200,
    "a\nb\tc\x00d",
    "&lt;i&gt; <a href='x'>x</a>",
]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_names_are_text(name: str) -> None:
    """No character that Plotly would read as markup is left as it is."""
    for shown in (charts.label(name), *charts.full(name).split("<br>")):
        assert "<" not in shown
        assert ">" not in shown
        assert shown.isprintable()


def test_long_names_keep_both_ends() -> None:
    """A name that is too long loses its middle."""
    assert "Store Brand B…082185" == charts.label("Store Brand Bananas, 40 lb #1082185", 20)
    assert 20 >= len(charts.label("x" * 500, 20))


def test_equal_labels_stay_apart() -> None:
    """Two things of the same name have a bar each."""
    assert 3 == len(set(charts.distinct(["Milk", "Milk", "Milk"])))


def test_ranking_has_a_bar_for_each_and_its_id() -> None:
    """Names that look like numbers or dates are categories, and a click tells the id."""
    ids = [f"id{number}" for number in range(len(HARD_NAMES))]
    figure = charts.ranking(HARD_NAMES, range(len(ids)), HARD_NAMES, ids, ",.")
    assert "category" == figure.layout.yaxis.type
    assert [(each,) for each in ids] == [tuple(each) for each in figure.data[0].customdata]
    assert len(ids) == len(set(figure.data[0].y))


@pytest.mark.parametrize("values", [[1], [5, 3, 2, 1, 1, 0.5, 0.01], [1] * 40])
def test_tiles_fill_the_space(values: list[float]) -> None:
    """Tiles have the area of their value, stay inside and do not lie on each other."""
    boxes = charts.squarify(values, 14, 10)
    areas = [width * height for _, _, width, height in boxes]
    assert pytest.approx([value * 140 / sum(values) for value in values]) == areas
    for x, y, width, height in boxes:
        assert x >= 0
        assert y >= 0
        assert x + width <= 14 + 1e-9
        assert y + height <= 10 + 1e-9
    for number, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[number + 1 :]:
            apart_x = x + width <= other_x + 1e-9 or other_x + other_width <= x + 1e-9
            apart_y = y + height <= other_y + 1e-9 or other_y + other_height <= y + 1e-9
            assert apart_x or apart_y
