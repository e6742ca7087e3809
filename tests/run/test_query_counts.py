"""The number of queries does not grow with the number of models."""

import pytest
from django.db import models
from django.test.utils import CaptureQueriesContext

from automigrate_ext import automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.backends import backend_for
from tests.acceptance.helper import State


def many(number):
    """Models of every kind that is compared in a way of its own."""
    definitions = {}
    for n in range(number):
        definitions[f"M{n}"] = {
            "name": models.CharField(max_length=20 + n % 7, unique=True),
            "size": models.PositiveIntegerField(db_index=True, db_default=n),
            "before": models.ForeignKey(f"M{max(n - 1, 0)}", models.CASCADE, null=True, related_name="+"),
            "made": models.GeneratedField(
                expression=models.F("size") + n, output_field=models.IntegerField(), db_persist=True
            ),
            "friends": models.ManyToManyField(f"M{n}", related_name="+"),
            "Meta": {
                "indexes": [
                    models.Index(fields=["size"], condition=models.Q(size__gt=n), name=f"i{n}"),
                    models.Index(models.functions.Lower("name"), name=f"j{n}"),
                ],
                "constraints": [models.CheckConstraint(condition=models.Q(size__lt=1000 + n), name=f"c{n}")],
            },
        }
    return State(**definitions)


def queries(connection, verb, state):
    with CaptureQueriesContext(connection) as captured:
        assert not verb(using=connection.alias, apps=state.apps) or verb is is_actual
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("verb", [autoupdate, make_plan, is_actual])
def test_nothing_to_do(connection, verb):
    counts = {}
    for number in (5, 60):
        state = many(number)
        autoupdate(using=connection.alias, apps=state.apps)
        counts[number] = queries(connection, verb, state)
    assert len(counts[5]) == len(counts[60]), counts[5]
    assert len(counts[60]) < 60


@pytest.mark.parametrize("verb", [autoupdate, automigrate])
@pytest.mark.parametrize("database", ["postgresql", "mariadb", "mysql"])
def test_new_tables_are_made_by_few_messages(request, database, verb):
    connection = request.getfixturevalue(database)
    state = State(**{f"M{n}": {"name": models.CharField(max_length=20, unique=True)} for n in range(60)})
    with CaptureQueriesContext(connection) as captured:
        plan = verb(using=connection.alias, apps=state.apps)
    sent = [query["sql"] for query in captured.captured_queries]
    messages = [sql for sql in sent if sql.startswith("CREATE TABLE") and "shop_m" in sql]
    assert len(messages) == (1 if database == "postgresql" else 2)
    texts = "\n".join(messages)
    assert all(statement in texts for statement in plan.statements)


@pytest.mark.parametrize(("verb", "times"), [(autoupdate, 3), (automigrate, 2)])
def test_tables_are_read_before_under_the_lock_and_after(connection, monkeypatch, verb, times):
    kind, reads = type(backend_for(connection.alias)), []
    introspect = kind.introspect
    monkeypatch.setattr(kind, "introspect", lambda self, names: reads.append(names) or introspect(self, names))
    autoupdate(using=connection.alias, apps=many(2).apps)
    reads.clear()
    assert verb(using=connection.alias, apps=many(3).apps)
    assert len(reads) == times
