"""Which advice of a plan the pending page shows: none for which it has a control."""

import pytest

from automigrate_ext.pending.page import line_parts
from automigrate_ext.plan.text import Line

RENAME = 'If a model was renamed, pass --rename OLD=NEW (renames={"OLD": "NEW"}).'
LOSE = "--accept-data-loss"


@pytest.mark.parametrize(
    ("advice", "option", "controls", "words"),
    [
        ("Drop it.", "--default a.B.c=VALUE", {}, "Drop it."),
        ("Drop it.", LOSE, {"loses": True}, "Drop it."),
        ("Drop it.", LOSE, {}, "Drop it, or pass --accept-data-loss (accept_data_loss=True)."),
        (RENAME, LOSE, {"loses": True}, RENAME),
        (RENAME, LOSE, {"loses": True, "renames": True}, ""),
        (RENAME, LOSE, {"renames": True}, "Pass --accept-data-loss (accept_data_loss=True)."),
        ("Drop it first.", "--cascade", {}, "Drop it first, or pass --cascade (cascade=True)."),
    ],
)
def test_advice_is_left_out_where_the_page_has_a_control(advice, option, controls, words):
    line = Line(sign="!", text="no", advice=advice, option=option)
    parts = line_parts(line, **{"loses": False, "renames": False, **controls})
    assert "".join(parts["remedy"]) == words
