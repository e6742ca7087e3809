"""Databases of MariaDB whose character set is not that of names, values and the connection."""

import pytest
from django.db import models
from django.db.models import Q

from automigrate_ext import is_actual
from automigrate_ext.exceptions import ScratchFailed
from automigrate_ext.run.record_table import TABLE
from tests.acceptance.helper import Case, State, fingerprint, item

DAY, DAYS = "\N{CJK UNIFIED IDEOGRAPH-65E5}", "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 3
NAME = models.CharField(max_length=20, null=True)


@pytest.fixture(params=["latin1", "utf8mb3", "ucs2"])
def case(mariadb, request):
    with mariadb.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE CHARACTER SET {request.param}")
        yield Case(mariadb, "automigrate")
        cursor.execute("ALTER DATABASE CHARACTER SET utf8mb4")


def named(**changed):
    """Models all of whose names are outside of latin1."""
    return State(
        Tag={"name": NAME, "Meta": {"db_table": f"tag_{DAY}"}},
        Item={
            "name": models.CharField(max_length=20, null=True, db_column=DAY, unique=True),
            "tags": models.ManyToManyField("Tag"),
            **changed,
            "Meta": {"db_table": f"item_{DAY}", "indexes": [models.Index(fields=["name"], name=f"index_{DAY}")]},
        },
    )


def test_names_outside_the_character_set(case):
    case.run(named())
    case.insert(named(), {"Tag": [{"name": "a"}], "Item": [{"name": "b"}], "Item.tags": [{"item_id": 1, "tag_id": 1}]})
    assert not case.run(named())
    after = named(more=models.IntegerField(default=3, db_column=f"more_{DAY}"))
    case.update(named(), after, built=True)
    case.update(after, named(), built=True, withheld=["Drop column"])
    assert f"item_{DAY}" in {name for (name,) in case.query(f"SELECT name FROM {TABLE}")}


def test_renamed_to_names_outside_the_character_set(case):
    before = State(Item={"name": NAME, "Meta": {"db_table": "item"}})
    after = State(Item={"title": models.CharField(max_length=20, null=True, db_column=DAY), "Meta": {"db_table": DAY}})
    case.run(before)
    case.insert(before, {"Item": [{"name": "a"}]})
    case.run(after, renames={"item": DAY, f"{DAY}.name": DAY})
    assert case.values(DAY, DAY) == [("a",)]
    case.assert_settled(after)


def test_record_of_an_earlier_version(case):
    case.run(item(name=NAME))
    case.execute(f"ALTER TABLE {TABLE} CONVERT TO CHARACTER SET latin1")
    after = State(Item={"name": NAME}, Other={"name": NAME, "Meta": {"db_table": DAY}})
    case.run(after)
    assert is_actual(using=case.alias, apps=after.apps)
    assert DAY in {name for (name,) in case.query(f"SELECT name FROM {TABLE}")}


def test_values_of_a_table_of_another_character_set(case):
    """Nothing that is tried or counted takes the database's."""
    before = item(name=models.TextField(null=True))
    case.build(before)
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    case.insert(before, {"Item": [{"name": DAYS}, {"name": "a"}, {"name": "A"}, {"name": "\N{GRINNING FACE}"}]})
    case.refused(before, item(name=models.CharField(max_length=2, null=True)), {}, "alters-values", built=True)
    case.refused(before, item(name=models.IntegerField(null=True)), {}, "cast-fails", built=True)
    # By the table's collation "a" and "A" are distinct.
    after = item(name=models.CharField(max_length=9, null=True, unique=True))
    case.update(before, after, built=True, exact=False)
    assert {value for (value,) in case.values("shop_item", "name")} == {DAYS, "a", "A", "\N{GRINNING FACE}"}


def test_values_alike_in_the_tables_collation(case):
    before = item(name=models.TextField(null=True))
    case.build(before)
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    case.insert(before, {"Item": [{"name": "ss"}, {"name": "\N{LATIN SMALL LETTER SHARP S}"}]})
    after = item(name=models.CharField(max_length=9, null=True, unique=True))
    case.refused(before, after, {}, "duplicates", built=True)


def test_defaults_that_the_table_takes(case):
    case.build(item(name=NAME))
    case.insert(item(name=NAME), {"Item": [{"name": "a"}, {}]})
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET utf8mb4")
    after = item(
        name=models.CharField(max_length=20, default=DAY),
        more=models.CharField(max_length=20, db_default=DAY),
        other=models.CharField(max_length=20, default=DAYS, unique=False),
    )
    case.update(item(name=NAME), after, built=True, exact=False)
    assert case.values("shop_item", "name", "more", "other") == [("a", DAY, DAYS), (DAY, DAY, DAYS)]


def test_what_a_table_of_latin1_does_not_take(mariadb):
    case = Case(mariadb, "automigrate")
    case.build(item(name=NAME))
    case.execute("ALTER TABLE shop_item CONVERT TO CHARACTER SET latin1")
    case.insert(item(name=NAME), {"Item": [{"name": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, {}]})
    trace = fingerprint(case.connection)
    check = models.CheckConstraint(condition=~Q(name=DAY), name="no_day")
    for after in (
        item(name=NAME, more=models.CharField(max_length=20, db_default=DAY)),
        item(name=NAME, Meta={"constraints": [check]}),
    ):
        with pytest.raises(ScratchFailed, match="does not accept"):
            case.run(after)
        assert fingerprint(case.connection) == trace
    after = item(name=models.CharField(max_length=30, db_default="\N{LATIN SMALL LETTER E WITH ACUTE}", null=True))
    case.update(item(name=NAME), after, built=True, exact=False)
