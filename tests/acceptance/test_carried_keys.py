"""What a foreign key or check has beyond what models give outlives the run that has to make it again."""

import itertools
from contextlib import suppress

import pytest
from django.db import connections, models
from django.db.models import Q

from automigrate_ext import ExecutionFailed
from tests.acceptance.helper import Case, State, item
from tests.features import need

CODE = models.CharField(max_length=9, unique=True)
NUMBER = models.AutoField(primary_key=True)
WIDER_NUMBER = models.BigAutoField(primary_key=True)


def key(to, **options):
    return models.ForeignKey(to, options.pop("on_delete", models.CASCADE), **options)


def shelved(*, code=CODE, **options):
    return State(Shelf={"code": code}, Item={"shelf": key("Shelf", to_field="code", **options)})


def linked(number):
    return State(Shelf={"id": number}, Item={"id": number, "shelves": models.ManyToManyField("Shelf")})


def derived(number):
    return State(Item={"id": number}, Book={"bases": ["Item"], "pages": models.IntegerField(null=True)})


def odd(number):
    return State(
        Shelf={"id": number, "Meta": {"db_table": "it's a shelf"}},
        Item={"shelf": key("Shelf", db_column="the shelf's")},
    )


def in_a_ring(number):
    """Tables that point at each other and at themselves."""
    return State(
        Shelf={"id": number, "best": key("Item", null=True), "next": key("self", null=True)},
        Item={"id": number, "shelf": key("Shelf", null=True)},
    )


SHELVES = {"Shelf": [{"code": "a"}, {"code": "b"}], "Item": [{"shelf_id": "a"}]}
#: Models before and after, and rows.
RETYPED = {
    "text": (shelved(), shelved(code=models.CharField(max_length=20, unique=True)), SHELVES),
    "number": (odd(NUMBER), odd(WIDER_NUMBER), {"Shelf": [{}], "Item": [{"shelf_id": 1}]}),
    "many to many": (
        linked(NUMBER),
        linked(WIDER_NUMBER),
        {"Shelf": [{}], "Item": [{}], "Item.shelves": [{"item_id": 1, "shelf_id": 1}]},
    ),
    "inheritance": (derived(NUMBER), derived(WIDER_NUMBER), {"Book": [{"pages": 1}]}),
    "ring": (in_a_ring(NUMBER), in_a_ring(WIDER_NUMBER), {"Shelf": [{}], "Item": [{"shelf_id": 1}]}),
    "null": (shelved(), shelved(null=True), SHELVES),
    "no longer null": (shelved(null=True), shelved(), SHELVES),
}
retyped = pytest.mark.parametrize(("before", "after", "rows"), RETYPED.values(), ids=RETYPED)


# PostgreSQL

CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype IN ('f', 'c') AND connamespace = 'public'::regnamespace ORDER BY 1, 2
"""


@pytest.fixture
def pg(postgresql):
    return Case(postgresql, "syncdb")


def constraints(pg):
    return pg.query(CONSTRAINTS)


def replace_all(pg, old, new):
    """Make all foreign keys again by hand, with another clause in the place of one."""
    for table, name, definition in constraints(pg):
        assert old in definition
        pg.execute(
            f'ALTER TABLE {table} DROP CONSTRAINT "{name}"',
            f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition.replace(old, new)}',
        )


CLAUSES = {
    "on update": " ON UPDATE CASCADE DEFERRABLE",
    "match full": " MATCH FULL ON UPDATE SET NULL DEFERRABLE",
    "on delete": " ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE",
}


@retyped
@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_clause_made_by_hand(pg, before, after, rows, clause):
    pg.build(before)
    replace_all(pg, " DEFERRABLE", clause)
    wanted = constraints(pg)
    pg.update(before, after, rows, built=True, exact=False)
    assert constraints(pg) == wanted


@retyped
def test_foreign_keys_not_valid(pg, before, after, rows):
    pg.build(before)
    replace_all(pg, "DEFERRED", "DEFERRED NOT VALID")
    wanted = constraints(pg)
    pg.update(before, after, rows, built=True, exact=False)
    assert constraints(pg) == wanted


def test_foreign_key_not_valid_over_orphans(pg):
    before, after = shelved(), shelved(code=models.CharField(max_length=20, unique=True))
    pg.build(before)
    ((_, name, definition),) = constraints(pg)
    pg.execute(
        f'ALTER TABLE shop_item DROP CONSTRAINT "{name}"',
        "INSERT INTO shop_item (shelf_id) VALUES ('nowhere')",
        f'ALTER TABLE shop_item ADD CONSTRAINT "{name}" {definition} NOT VALID',
    )
    wanted = constraints(pg)
    pg.update(before, after, {"Shelf": [{"code": "a"}]}, built=True, exact=False)
    assert constraints(pg) == wanted
    pg.update(after, before, built=True, exact=False)
    assert constraints(pg) == wanted


def sized(field, **fields):
    return item(size=field, **fields, Meta={"constraints": [models.CheckConstraint(condition=Q(size__gt=0), name="c")]})


INT, BIGINT = models.IntegerField(), models.BigIntegerField()
DECIMAL = models.DecimalField(max_digits=9, decimal_places=2)


NUMBERS = {"bigint": BIGINT, "renamed": models.IntegerField(db_column="weight")}


@pytest.mark.parametrize("field", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "by hand"])
def test_check_not_valid_over_violators(pg, field, declared):
    before = sized(INT) if declared else item(size=INT)
    after = sized(field) if declared else item(size=field)
    pg.build(before)
    pg.execute(
        "ALTER TABLE shop_item DROP CONSTRAINT IF EXISTS c",
        "INSERT INTO shop_item (size) VALUES (-1), (1)",
        "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
    )
    renames = {"shop_item.size": "weight"} if field.db_column else {}
    pg.update(before, after, built=True, exact=False, renames=renames)
    ((_, _, definition),) = constraints(pg)
    assert definition.endswith("NOT VALID") and "> " in definition


def test_check_not_valid_that_a_type_makes_another(pg):
    """The server prints it with a cast then, so that it is a new check, which the rows have to satisfy."""
    before, after = sized(INT), sized(DECIMAL)
    pg.build(before)
    pg.execute(
        "ALTER TABLE shop_item DROP CONSTRAINT c",
        "INSERT INTO shop_item (size) VALUES (-1)",
        "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
    )
    pg.refused(before, after, {}, "violators", built=True)


def test_check_not_valid_beside_valid_ones(pg):
    """Those that are valid are asked of the rows all the same."""
    before, after = sized(INT, more=models.PositiveIntegerField()), sized(BIGINT, more=models.PositiveBigIntegerField())
    pg.build(before)
    pg.execute(
        "ALTER TABLE shop_item DROP CONSTRAINT c",
        "INSERT INTO shop_item (size, more) VALUES (-1, 1)",
        "ALTER TABLE shop_item ADD CONSTRAINT c CHECK (size > 0) NOT VALID",
    )
    pg.update(before, after, built=True, exact=False)
    assert [definition.endswith("NOT VALID") for _, _, definition in constraints(pg)] == [True, False]


def test_action_on_update_outlives_another_on_delete(pg):
    need(pg.connection, "database-level on delete")
    before, after = shelved(), shelved(on_delete=models.DB_CASCADE)
    pg.build(before)
    replace_all(pg, " DEFERRABLE", " ON UPDATE CASCADE DEFERRABLE")
    pg.update(before, after, SHELVES, built=True, exact=False)
    ((_, _, definition),) = constraints(pg)
    assert "ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED" in definition
    pg.update(after, before, built=True, exact=False)
    ((_, _, definition),) = constraints(pg)
    assert definition.endswith("ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED")


def test_action_on_update_of_a_key_that_was_not_deferred(pg):
    state = shelved()
    pg.build(state)
    replace_all(pg, " DEFERRABLE INITIALLY DEFERRED", " ON UPDATE CASCADE")
    pg.update(state, state, SHELVES, changes=["Drop foreign key", "Add foreign key"], built=True, exact=False)
    ((_, _, definition),) = constraints(pg)
    assert definition.endswith("ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED")


# MariaDB


@pytest.fixture
def maria(mariadb):
    return Case(mariadb, "syncdb")


def clauses(maria, state):
    """The clauses of the foreign keys of all tables, as the server prints them."""
    found = []
    for table in state.tables():
        ((_, text),) = maria.query(f'SHOW CREATE TABLE "{table}"')
        found += [(table, line.strip(" ,")) for line in text.splitlines() if " FOREIGN KEY " in line]
    return sorted(found)


def add_to_all(maria, state, clause):
    """Make all foreign keys again by hand, with one more clause."""
    for table, text in clauses(maria, state):
        name = text.split("`")[1]
        maria.execute(f'ALTER TABLE "{table}" DROP FOREIGN KEY "{name}"', f'ALTER TABLE "{table}" ADD {text} {clause}')


@retyped
@pytest.mark.parametrize("clause", ["ON UPDATE CASCADE", "ON DELETE CASCADE ON UPDATE CASCADE"])
def test_clause_made_by_hand_on_mariadb(maria, before, after, rows, clause):
    maria.build(before)
    add_to_all(maria, before, clause)
    wanted = clauses(maria, before)
    assert wanted and all("ON UPDATE" in text for _, text in wanted)
    maria.update(before, after, rows, built=True, exact=False)
    assert clauses(maria, before) == wanted


def test_clause_made_by_hand_under_new_names_on_mariadb(maria):
    before = shelved()
    after = State(
        Rack={"number": models.CharField(max_length=20, unique=True)},
        Item={"rack": key("Rack", to_field="number")},
    )
    maria.build(before)
    add_to_all(maria, before, "ON UPDATE CASCADE")
    renames = {"shop_shelf": "shop_rack", "shop_rack.code": "number", "shop_item.shelf_id": "rack_id"}
    maria.update(before, after, SHELVES, built=True, exact=False, renames=renames)
    ((_, text),) = clauses(maria, State(Item={}))
    assert text.endswith("(`rack_id`) REFERENCES `shop_rack` (`number`) ON UPDATE CASCADE")


def test_action_on_update_outlives_another_on_delete_on_mariadb(maria):
    need(maria.connection, "database-level on delete")
    before, after = shelved(), shelved(on_delete=models.DB_CASCADE)
    maria.build(before)
    add_to_all(maria, before, "ON UPDATE CASCADE")
    wanted = clauses(maria, before)
    maria.update(before, after, SHELVES, built=True, exact=False)
    ((_, text),) = clauses(maria, after)
    assert text.endswith("ON DELETE CASCADE ON UPDATE CASCADE")
    maria.update(after, before, built=True, exact=False)
    assert clauses(maria, before) == wanted


WIDER = models.CharField(max_length=20, unique=True)


@pytest.mark.parametrize("changed", [{"code": WIDER}, {"on_delete": "DB_CASCADE"}], ids=["retyped", "on delete"])
def test_action_on_update_outlives_a_session_ended_at_any_statement(maria, changed):
    if "on_delete" in changed:
        need(maria.connection, "database-level on delete")
        changed = {"on_delete": getattr(models, changed["on_delete"])}
    before, after = shelved(), shelved(**changed)
    maria.build(before)
    maria.run(before)
    maria.insert(before, SHELVES)
    add_to_all(maria, before, "ON UPDATE CASCADE")
    wanted = clauses(maria, before)
    for number in itertools.count(1):
        ended = end_at(maria, number, lambda: maria.run(after))
        maria.run(after)
        maria.assert_settled(after, exact=False)
        assert [text.endswith("ON UPDATE CASCADE") for _, text in clauses(maria, after)] == [True]
        maria.run(before)
        assert clauses(maria, before) == wanted
        if not ended:
            break
    assert number > 2


def end_at(maria, number, run):
    """Have the server end the session before the n-th statement that alters a table; return whether there was one."""
    count = itertools.count(1)
    other = connections.create_connection(maria.alias)

    def wrapper(execute, sql, params, many, context):
        if sql.startswith("ALTER TABLE") and next(count) == number:
            with other.cursor() as cursor:
                cursor.execute("KILL %s", [maria.connection.connection.thread_id()])
        return execute(sql, params, many, context)

    with maria.connection.execute_wrapper(wrapper), suppress(ExecutionFailed):
        run()
    other.close()
    maria.connection.close()
    return next(count) > number
