"""Whose an index or constraint is that is not in the models: Django's, by the digest in its name, or somebody's."""

import pytest
from django.db import models
from django.db.backends.utils import names_digest

from tests.acceptance.helper import State, item
from tests.features import need


def state(table=None, **more):
    meta = {"Meta": {"db_table": table}} if table else {}
    return item(date_sent=models.IntegerField(), size=models.IntegerField(), **more, **meta)


def digest(*names, length=8):
    return names_digest(*names, length=length)


TABLE = "communication_notification"
LONG = "d" * 58
OWNED = {
    "index": ("INDEX", "customer_notification_date_sent_9b6baeda", "date_sent"),
    "unique": ("UNIQUE INDEX", f"old_date_sent_{digest('old', 'date_sent')}_uniq", "date_sent"),
    "two columns": ("INDEX", f"old_t_date_sent_size_{digest('old_t', 'date_sent', 'size')}_idx", "date_sent, size"),
    "column renamed too": ("INDEX", f"old_t_day_of_it_{digest('old_t', 'day_of_it')}", "date_sent"),
    "columns renamed too": ("UNIQUE INDEX", f"o_t_a_b_c_d_{digest('o_t', 'a_b', 'c_d')}_uniq", "date_sent, size"),
    "its own table": ("INDEX", f"{TABLE}_size_{digest(TABLE, 'size')}", "size"),
    "index_together": ("INDEX", f"{TABLE}_size_date_sent_{digest(TABLE, 'size', 'date_sent')}_idx", "size, date_sent"),
    "old Django": ("INDEX", f"old_t_{digest('size')}", "size"),
    "old Django, two columns": ("INDEX", f"old_t_size_{digest('old_t', 'size', 'date_sent')}_idx", "size, date_sent"),
    "unnamed index": ("INDEX", f"communicati_size_{digest(TABLE, 'size', 'idx', length=6)}_idx", "size"),
    "unnamed index of an old table": (
        "INDEX",
        f"old_date_se_{digest('old', 'date_sent', 'idx', length=6)}_idx",
        "date_sent",
    ),
    "unnamed index, descending": ("INDEX", f"old_size_{digest('old', '-size', 'idx', length=6)}_idx", "size DESC"),
}
KEPT = {
    "by hand": ("INDEX", "by_hand", "size"),
    "another digest": ("INDEX", "old_size_0123abcd", "size"),
    "digest of another column": ("INDEX", f"old_date_sent_{digest('old', 'date_sent')}_uniq", "size, date_sent"),
    "another suffix": ("INDEX", f"old_size_{digest('old', 'size')}_mine", "size"),
    "a few words": ("INDEX", "on_the_size_of_it_all_facade_in", "size"),
}


@pytest.fixture
def made(case):
    need(case.connection, "conditions in indexes")
    return case


def add(case, table, kind, name, columns):
    case.execute(f'CREATE {kind} "{name}" ON "{table}" ({columns})')


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "not recorded"])
@pytest.mark.parametrize("name", OWNED)
def test_object_that_django_named_goes(made, name, is_recorded):
    made.build(state(TABLE))
    if is_recorded:
        made.run(state(TABLE))
    add(made, TABLE, *OWNED[name])
    words = "Drop unique" if "UNIQUE" in OWNED[name][0] else "Drop index"
    plan = made.update(state(TABLE), state(TABLE), {"Item": [{"date_sent": 1, "size": 1}]}, changes=[words], built=True)
    assert plan.foreign == ()


@pytest.mark.parametrize("name", KEPT)
def test_object_of_another_name_stays(made, name):
    made.build(state(TABLE))
    add(made, TABLE, *KEPT[name])
    plan = made.update(state(TABLE), state(TABLE), changes=[], built=True, exact=False)
    (kept,) = plan.foreign
    assert KEPT[name][1] in kept


@pytest.mark.parametrize("kind", ["index", "unique", "unique_together", "foreign key", "check"])
def test_object_made_by_django_before_the_table_was_renamed(made, kind):
    if kind in ("unique", "check") and made.vendor == "postgresql":
        pytest.skip("PostgreSQL chooses the names of a column's own constraints, without a digest")
    number = models.IntegerField()
    fields = {
        "index": {"date_sent": models.IntegerField(db_index=True), "size": number},
        "unique": {"date_sent": models.IntegerField(unique=True), "size": number},
        "unique_together": {"date_sent": number, "size": number},
        "foreign key": {"date_sent": number, "size": number, "box": models.ForeignKey("Box", models.CASCADE)},
        "check": {"date_sent": models.PositiveIntegerField(), "size": number},
    }
    meta = {"unique_together": {("date_sent", "size")}} if kind == "unique_together" else {}
    before = State(Box={}, Item={**fields[kind], "Meta": {"db_table": "customer_notification", **meta}})
    made.build(before)
    made.execute(f'ALTER TABLE "customer_notification" RENAME TO "{TABLE}"')
    after = State(Box={}, Item={"date_sent": number, "size": number, "Meta": {"db_table": TABLE}})
    made.update(after, after, built=True)


def test_long_names(made):
    need(made.connection, "long names of tables")
    made.build(item(**{LONG: models.IntegerField(db_index=True)}, Meta={"db_table": "old_table"}))
    made.execute(f'ALTER TABLE "old_table" RENAME TO "{TABLE}"')
    after = item(**{LONG: models.IntegerField()}, Meta={"db_table": TABLE})
    made.update(after, after, changes=["Drop index"], built=True)
