"""Plans that a server refuses for reasons that an empty copy of the tables shows, so that they can be known before."""

import pytest
from django.db import models

from automigrate_ext import Refused
from tests.acceptance.helper import Case, State, fingerprint, item

INT, TEXT = models.IntegerField(), models.CharField(max_length=9)


def keyed(*fields):
    """Return two models of which one points at the other's id, which gives way to a key of two columns."""
    numbers = {"a": INT, "b": INT}
    composite = {"pk": models.CompositePrimaryKey("a", "b")} if fields else {}
    other = {} if fields else {"Two": {"one": models.ForeignKey("One", models.CASCADE, null=True), "text": TEXT}}
    return State(One={**numbers, **composite}, **other)


INPUTS = {
    # A default made by hand that the new type does not take: MariaDB stops half done.
    "default of another type": (
        "mariadb",
        item(size=TEXT, rank=models.IntegerField(null=True)),
        ["ALTER TABLE shop_item ALTER size SET DEFAULT 'x'", "INSERT INTO shop_item (size) VALUES ('1')"],
        item(size=INT, rank=models.IntegerField(default=4)),
    ),
    # A kept table whose foreign key points at a column that goes.
    "key that a kept table points at": (
        "sqlite",
        keyed(),
        ["INSERT INTO shop_two (text) VALUES ('x')"],
        keyed("a", "b"),
    ),
}


@pytest.mark.parametrize(("database", "before", "statements", "after"), INPUTS.values(), ids=INPUTS)
def test_input(request, database, before, statements, after):
    case = Case(request.getfixturevalue(database), "automigrate")
    case.build(before)
    case.execute(*statements)
    trace = fingerprint(case.connection)
    plan = case.plan(after)
    if plan.refused:
        with pytest.raises(Refused):
            case.run(after)
        assert fingerprint(case.connection) == trace
    else:
        case.run_as_planned(after)
        case.assert_settled(after, exact=False)
