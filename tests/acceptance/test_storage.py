"""What the engine or the partitions of a table of MariaDB do not allow is found before anything is changed."""

import pytest
from django.db import models

from automigrate_ext import Refused, autoupdate
from tests.acceptance.helper import Case, State, fingerprint

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField(default=1)
SHELF = {"name": NAME}
ROWS = {"Shelf": [{"name": "s"}], "Item": [{"name": "a", "size": 1}]}


@pytest.fixture
def case(mariadb):
    return Case(mariadb, "automigrate")


def key(to="Shelf", **options):
    return models.ForeignKey(to, models.CASCADE, null=True, **options)


def shelved(**fields):
    return State(Shelf=SHELF, Item={"name": NAME, "size": SIZE, **fields})


def reasons(case, before, after, **options):
    """The reasons for which the run is refused, and leaves no trace."""
    trace = fingerprint(case.connection)
    with pytest.raises(Refused) as caught:
        autoupdate(using=case.alias, apps=after.apps, **options)
    assert fingerprint(case.connection) == trace
    hazards = [hazard for judgement in caught.value.plan.refused for hazard in judgement.hazards]
    assert {hazard.code for hazard in hazards} == {"unable"}
    assert [hazard.code for judgement in case.plan(after, **options).refused for hazard in judgement.hazards]
    return [hazard.message for hazard in hazards]


KEYED = {
    "foreign key": (shelved(), shelved(shelf=key())),
    "one to one": (shelved(), shelved(shelf=models.OneToOneField("Shelf", models.CASCADE, null=True))),
    "without constraint before": (shelved(shelf=key(db_constraint=False)), shelved(shelf=key())),
    "many to many": (shelved(), shelved(shelves=models.ManyToManyField("Shelf"))),
    "new table": (State(Shelf=SHELF), State(Shelf=SHELF, Item={"shelf": key()})),
    "inheritance": (State(Shelf=SHELF), State(Shelf=SHELF, Item={"bases": ["Shelf"], "size": SIZE})),
}
HINDRANCES = {
    "MyISAM": ("ENGINE=MyISAM", "has the engine MyISAM", "ENGINE=InnoDB"),
    "Aria": ("ENGINE=Aria", "has the engine Aria", "ENGINE=InnoDB"),
    "partitions": ("PARTITION BY HASH (id) PARTITIONS 3", "is partitioned", "REMOVE PARTITIONING"),
    "partitions by key": ("PARTITION BY KEY () PARTITIONS 2", "is partitioned", "REMOVE PARTITIONING"),
}


@pytest.mark.parametrize(("clause", "words", "way_out"), HINDRANCES.values(), ids=HINDRANCES)
@pytest.mark.parametrize("name", KEYED)
def test_target_of_a_new_foreign_key(case, name, clause, words, way_out):
    before, after = KEYED[name]
    case.build(before)
    case.execute(f"ALTER TABLE shop_shelf {clause}")
    case.insert(before, {model: rows for model, rows in ROWS.items() if model in before.models})
    (reason,) = reasons(case, before, after)
    assert f"table shop_shelf {words}" in reason and f"ALTER TABLE `shop_shelf` {way_out}" in reason
    case.execute(f"ALTER TABLE shop_shelf {way_out}")
    case.update(before, after, built=True)


@pytest.mark.parametrize(("clause", "words", "way_out"), HINDRANCES.values(), ids=HINDRANCES)
@pytest.mark.parametrize("name", ["foreign key", "one to one", "without constraint before"])
def test_table_of_a_new_foreign_key(case, name, clause, words, way_out):
    before, after = KEYED[name]
    case.build(before)
    case.execute(f"ALTER TABLE shop_item {clause}")
    case.insert(before, ROWS)
    found = reasons(case, before, after)
    assert all(f"table shop_item {words}" in reason for reason in found)
    case.execute(f"ALTER TABLE shop_item {way_out}")
    case.update(before, after, built=True)


def test_target_outside_the_run_and_under_a_new_name(case):
    before, after = KEYED["foreign key"]
    case.build(before)
    case.execute("ALTER TABLE shop_shelf ENGINE=MyISAM")
    with pytest.raises(Refused, match="table shop_shelf has the engine MyISAM"):
        autoupdate("shop.Item", using=case.alias, apps=after.apps)
    renamed = State(Rack=SHELF, Item={"name": NAME, "size": SIZE, "rack": key("Rack")})
    (reason,) = reasons(case, before, renamed, renames={"shop_shelf": "shop_rack"})
    assert "table shop_rack has the engine MyISAM" in reason


def test_new_tables_of_another_engine(case):
    case.execute("SET SESSION default_storage_engine = Aria")
    case.connection.__dict__.pop("mysql_server_data", None)
    case.connection.features.__dict__.pop("_mysql_storage_engine", None)
    try:
        after = State(Shelf=SHELF, Item={"shelf": key()})
        (reason,) = reasons(case, State(), after)
    finally:
        case.connection.close()
        case.connection.__dict__.pop("mysql_server_data", None)
        case.connection.features.__dict__.pop("_mysql_storage_engine", None)
    assert "new tables get the engine Aria" in reason


UNIQUES = {
    "unique": shelved(name=models.CharField(max_length=20, unique=True)),
    "together": shelved(Meta={"unique_together": {("name", "size")}}),
    "constraint": shelved(Meta={"constraints": [models.UniqueConstraint(fields=["name"], name="u")]}),
}


@pytest.mark.parametrize("name", UNIQUES)
def test_unique_on_a_partitioned_table(case, name):
    before, after = shelved(), UNIQUES[name]
    case.build(before)
    case.execute("ALTER TABLE shop_item PARTITION BY HASH (id) PARTITIONS 3")
    case.insert(before, ROWS)
    (reason,) = reasons(case, before, after)
    assert "table shop_item is partitioned by id, and what is unique has to include that" in reason
    case.execute("ALTER TABLE shop_item REMOVE PARTITIONING")
    case.update(before, after, built=True)


@pytest.mark.parametrize("by", ["HASH (id)", "KEY ()", "RANGE (id) (PARTITION `p)0` VALUES LESS THAN MAXVALUE)"])
def test_unique_that_includes_what_a_table_is_partitioned_by(case, by):
    after = shelved(Meta={"unique_together": {("size", "id")}})
    case.build(shelved())
    case.execute(f"ALTER TABLE shop_item PARTITION BY {by}")
    case.update(shelved(), after, ROWS, built=True)
    case.update(after, shelved(), built=True)


SPLIT = (
    "ALTER TABLE shop_item DROP PRIMARY KEY, ADD PRIMARY KEY (id, size) "
    "PARTITION BY RANGE (size + 1) SUBPARTITION BY KEY (id) (PARTITION `a (b` VALUES LESS THAN MAXVALUE)"
)


def test_column_that_a_table_is_partitioned_by_gets_another_name(case):
    """The server writes the new name into the partitions, which decide about unique constraints under that name."""
    before = shelved(id=models.AutoField(primary_key=True))
    number = models.AutoField(primary_key=True, db_column="number")
    case.build(before)
    case.execute("ALTER TABLE shop_item PARTITION BY RANGE (id + 1) (PARTITION a VALUES LESS THAN MAXVALUE)")
    case.insert(before, ROWS)
    renames = {"shop_item.id": "number"}
    unique = shelved(id=number, Meta={"unique_together": {("name", "size")}})
    (reason,) = reasons(case, before, unique, renames=renames)
    assert "partitioned by number" in reason
    case.update(before, shelved(id=number), built=True, renames=renames)


def test_primary_key_and_column_that_a_table_is_partitioned_by(case):
    before = shelved(size=models.IntegerField())
    case.build(before)
    case.execute(SPLIT)
    (reason,) = reasons(case, before, before)
    assert "partitioned by size, id" in reason
    without = State(Shelf=SHELF, Item={"name": NAME})
    found = reasons(case, before, without)
    assert any("table shop_item is partitioned by that column" in reason for reason in found)
    case.execute("ALTER TABLE shop_item REMOVE PARTITIONING")
    case.update(before, before, built=True)
