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


def luminance(colour: str) -> float:
    """Relative luminance of a colour written as #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_on_tiles_can_be_read() -> None:
    """Text and tile differ by 4.5 : 1 or more, as WCAG 2.2 asks, on the light as on the dark."""
    values = [100 - number for number in range(100)]
    names = [str(value) for value in values]
    bars = charts.tiles(names, values, names, values, ",.").data[0]
    assert bars.marker.color[0] != bars.marker.color[-1]
    for tile, words in zip(bars.marker.color, bars.insidetextfont.color, strict=True):
        darker, lighter = sorted(luminance(colour) + 0.05 for colour in (tile, words))
        assert lighter / darker >= 4.5
