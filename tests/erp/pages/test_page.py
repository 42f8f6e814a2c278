"""The pieces that pages share, as far as they can be looked at without one."""

import re

import pytest

from erp.pages import page


@pytest.mark.parametrize("values", [[1.0, 3.0, 2.0], [0.0, 0.0], [-5.0, 5.0], [7.0], [1e12, 1e-9]])
def test_the_course_of_a_figure_stays_in_its_place(values: list[float]) -> None:
    """A point for each value, from edge to edge, the largest on top."""
    points = re.findall(r"([\d.]+)% ([\d.]+)%", page.spark_shape(values))
    assert len(values) + 2 == len(points)
    places = [(float(x), float(y)) for x, y in points]
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in places)
    heights = [y for _, y in places[1:-1]]
    assert heights.index(min(heights)) == values.index(max(values))
    assert [(0.0, 100.0), (100.0, 100.0)] == [places[0], places[-1]]
