"""Which types hold every value of others, as far as Django's introspection tells."""

import pytest
from django.db import connection

from automigrate_ext.backends.generic.hazards import never_loses
from automigrate_ext.backends.generic.introspection import TypeFacts


def facts(field, *sizes, **params):
    return TypeFacts(field=field, params=params, code=0, sizes=sizes)


INTEGER, BIGINT = facts("IntegerField", 11, 10, 0), facts("BigIntegerField", 20, 19, 0)
#: How MariaDB's bool is shown: as an integer of one byte.
BOOL = facts("IntegerField", 4, 3, 0)
SHORT, LONG = facts("CharField", max_length=5), facts("CharField", max_length=9)
MONEY, FINER = (facts("DecimalField", max_digits=d, decimal_places=2 + (d > 6)) for d in (6, 7))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (INTEGER, BIGINT, True),
        (BOOL, INTEGER, True),
        (INTEGER, BOOL, False),
        (SHORT, LONG, True),
        (LONG, SHORT, False),
        (LONG, facts("TextField"), True),
        (MONEY, FINER, True),
        (FINER, MONEY, False),
        (INTEGER, LONG, False),
    ],
)
def test_type_that_holds_every_value_of_another(old, new, expected):
    assert never_loses(connection, old, new) is expected
