"""The picture of the package in the documentation is current."""

from tests import house


def test_picture_is_of_the_code_as_it_is():
    assert house.DOT.read_text() == house.dot(), "python -m tests.house draws it again"
    assert house.SVG.read_text().endswith(house.mark(house.dot()))


def test_every_arrow_points_down():
    floor = {name: number for number, names in enumerate(house.floors()) for name in names}
    assert [f"{name} -> {to}" for name, tos in house.arrows().items() for to in tos if floor[name] >= floor[to]] == []
