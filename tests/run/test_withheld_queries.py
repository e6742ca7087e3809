"""What is withheld is decided in a number of queries that does not grow with how much is withheld."""

import pytest
from django.db import connections, models
from django.test.utils import CaptureQueriesContext

from automigrate_ext import autoupdate, is_actual, make_plan
from tests.acceptance.helper import State

NUMBERS = (2, 20, 60)


def kept(connection, number):
    """Models of whose tables each keeps a column, beside as many tables that no model declares any more."""
    fields = {"name": models.CharField(max_length=9), "gone": models.IntegerField(null=True)}
    old = {f"Stays{n}": dict(fields) for n in range(number)} | {f"Goes{n}": dict(fields) for n in range(number)}
    before = State(**old)
    autoupdate(using=connection.alias, apps=before.apps)
    for model in before.apps.get_models():
        model.objects.using(connection.alias).create(name="a", gone=1)
    after = State(**{f"Stays{n}": {"name": models.CharField(max_length=9)} for n in range(number)})
    autoupdate(using=connection.alias, apps=after.apps)
    return after.apps


@pytest.mark.parametrize("verb", [is_actual, make_plan, autoupdate])
def test_same_number_for_any_number_withheld(connection, verb):
    counts = {}
    for number in NUMBERS:
        apps = kept(connection, number)
        with CaptureQueriesContext(connections[connection.alias]) as captured:
            result = verb(using=connection.alias, apps=apps)
        counts[number] = [query["sql"] for query in captured.captured_queries]
        if verb is is_actual:
            assert result
        elif verb is make_plan:
            assert len(result.withheld) == 2 * number and not result.changes
    assert len(counts[2]) == len(counts[20]) == len(counts[60]), {n: len(sent) for n, sent in counts.items()}
