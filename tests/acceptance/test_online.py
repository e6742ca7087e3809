"""`autoupdate --online`: many short transactions, after which the tables are what a run in one transaction makes."""

import uuid

import pytest
from django.db import models
from django.db.models import Deferrable, F, Q
from django.db.models.functions import Lower, Now, Random

from tests import squawk
from tests.acceptance.helper import Case, State, item

NAME = models.CharField(max_length=20)
SIZE = models.IntegerField()
ROWS = {"Item": [{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c", "size": 3}]}


def with_constraint(constraint, **fields):
    return item(**{"name": NAME, "size": SIZE, **fields, "Meta": {"constraints": [constraint]}})


def with_index(index):
    return item(name=NAME, size=SIZE, Meta={"indexes": [index]})


PLAIN = item(name=NAME, size=SIZE)
#: What differs, and the words that the statements have in common with the way to do it beside others.
CASES = {
    "index": (PLAIN, with_index(models.Index(fields=["size"], name="i")), ["CREATE INDEX CONCURRENTLY"]),
    "expression index": (
        PLAIN,
        with_index(models.Index(Lower("name").desc(), name="i", condition=Q(size__gt=1))),
        ["CREATE INDEX CONCURRENTLY"],
    ),
    "dropped index": (with_index(models.Index(fields=["size"], name="i")), PLAIN, ["DROP INDEX CONCURRENTLY"]),
    "changed index": (
        with_index(models.Index(fields=["size"], name="i")),
        with_index(models.Index(fields=["name"], name="i")),
        ["DROP INDEX CONCURRENTLY", "CREATE INDEX CONCURRENTLY"],
    ),
    "unique field": (
        PLAIN,
        item(name=NAME, size=models.IntegerField(unique=True)),
        ["CREATE UNIQUE INDEX CONCURRENTLY", "UNIQUE USING INDEX"],
    ),
    "unique text": (
        PLAIN,
        item(name=models.CharField(max_length=20, unique=True), size=SIZE),
        ["CREATE UNIQUE INDEX CONCURRENTLY", "UNIQUE USING INDEX", "varchar_pattern_ops"],
    ),
    "unique constraint": (
        PLAIN,
        with_constraint(models.UniqueConstraint(fields=["name", "size"], name="u")),
        ["CREATE UNIQUE INDEX CONCURRENTLY", "UNIQUE USING INDEX"],
    ),
    "deferrable unique constraint": (
        PLAIN,
        with_constraint(models.UniqueConstraint(fields=["size"], name="u", deferrable=Deferrable.DEFERRED)),
        ["UNIQUE USING INDEX", "DEFERRABLE INITIALLY DEFERRED"],
    ),
    "immediate unique constraint": (
        PLAIN,
        with_constraint(models.UniqueConstraint(fields=["size"], name="u", deferrable=Deferrable.IMMEDIATE)),
        ["UNIQUE USING INDEX"],
    ),
    "unique under a condition": (
        PLAIN,
        with_constraint(models.UniqueConstraint(fields=["size"], name="u", condition=Q(size__gt=1))),
        ["CREATE UNIQUE INDEX CONCURRENTLY"],
    ),
    "unique constraint of other columns": (
        with_constraint(models.UniqueConstraint(fields=["size"], name="u")),
        with_constraint(models.UniqueConstraint(fields=["name"], name="u")),
        ["CREATE UNIQUE INDEX CONCURRENTLY", "DROP CONSTRAINT"],
    ),
    "check": (
        PLAIN,
        with_constraint(models.CheckConstraint(condition=Q(size__gt=0), name="c")),
        ["NOT VALID", "VALIDATE CONSTRAINT"],
    ),
    "check of a field": (
        PLAIN,
        item(name=NAME, size=models.PositiveIntegerField()),
        ["NOT VALID", "VALIDATE CONSTRAINT"],
    ),
    "another check": (
        with_constraint(models.CheckConstraint(condition=Q(size__gt=0), name="c")),
        with_constraint(models.CheckConstraint(condition=Q(size__lt=9), name="c")),
        ["DROP CONSTRAINT", "NOT VALID", "VALIDATE CONSTRAINT"],
    ),
    "not null": (
        item(name=models.CharField(max_length=20, null=True), size=SIZE),
        PLAIN,
        ["NOT VALID", "VALIDATE CONSTRAINT"],
    ),
    "column": (PLAIN, item(name=NAME, size=SIZE, more=models.IntegerField(null=True)), ["ADD COLUMN"]),
    "required column": (
        PLAIN,
        item(name=NAME, size=SIZE, more=models.IntegerField(default=7)),
        ["NOT NULL DEFAULT 7", "DROP DEFAULT"],
    ),
    "column with a default of the database": (
        PLAIN,
        item(name=NAME, size=SIZE, at=models.DateTimeField(db_default=Now())),
        ["DEFAULT (STATEMENT_TIMESTAMP()) NOT NULL"],
    ),
    "column with another default for each row": (
        PLAIN,
        item(name=NAME, size=SIZE, chance=models.FloatField(db_default=Random())),
        ["SET DEFAULT (RANDOM())", "LOOP", "VALIDATE CONSTRAINT"],
    ),
    "wider text": (PLAIN, item(name=models.CharField(max_length=30), size=SIZE), ["TYPE character varying(30)"]),
    "text without end": (PLAIN, item(name=models.TextField(), size=SIZE), ["TYPE text"]),
    "dropped column": (item(name=NAME, size=SIZE, gone=models.IntegerField(null=True)), PLAIN, ["DROP COLUMN"]),
    "dropped column with a unique constraint": (
        item(name=NAME, size=SIZE, gone=models.IntegerField(null=True, unique=True)),
        PLAIN,
        ["DROP CONSTRAINT", "DROP COLUMN"],
    ),
    "dropped column that a unique constraint includes": (
        with_constraint(
            models.UniqueConstraint(fields=["size"], name="u", include=["gone"]), gone=models.IntegerField(null=True)
        ),
        PLAIN,
        ["DROP INDEX CONCURRENTLY", "DROP COLUMN"],
    ),
    "comment": (PLAIN, item(name=models.CharField(max_length=20, db_comment="x"), size=SIZE), ["COMMENT ON"]),
    "optional": (PLAIN, item(name=models.CharField(max_length=20, null=True), size=SIZE), ["DROP NOT NULL"]),
    "generated column that is computed on reading or stored in a small table": (
        PLAIN,
        item(
            name=NAME,
            size=SIZE,
            twice=models.GeneratedField(expression=F("size") * 2, output_field=models.IntegerField(), db_persist=True),
        ),
        ["GENERATED"],
    ),
    "wider number of a small table": (PLAIN, item(name=NAME, size=models.BigIntegerField()), ["TYPE bigint"]),
}


def recorded(case, state):
    """Make the tables, and record what they have as the models'."""
    case.build(state)
    case.run(state)


@pytest.mark.parametrize("name", CASES)
def test_case(pg, name):
    before, after, words = CASES[name]
    recorded(pg, before)
    plan = pg.update(before, after, ROWS, online=True, built=True)
    sql = plan.sql()
    assert [word for word in words if word not in sql] == []
    assert plan.online


def test_script_of_an_ordinary_run_has_faults(pg):
    """Those that squawk finds in no script of the cases above."""
    squawk.need_squawk()
    before, after, _ = CASES["unique constraint"]
    pg.build(before)
    pg.insert(before, ROWS)
    assert {finding.rule for finding in squawk.findings(pg.plan(after))} >= {
        "disallowed-unique-constraint",
        "require-statement-timeout",
    }


@pytest.mark.parametrize("name", CASES)
def test_case_on_an_empty_table_is_plain(pg, name):
    before, after, _ = CASES[name]
    recorded(pg, before)
    plan = pg.update(before, after, online=True, built=True)
    assert "CONCURRENTLY" not in plan.sql() and "NOT VALID" not in plan.sql()


@pytest.mark.parametrize("default", ["x", lambda: "y"], ids=["constant", "per row"])
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_fill(pg, default, batch):
    before = item(name=models.CharField(max_length=20, null=True), size=SIZE)
    after = item(name=models.CharField(max_length=20, default=default), size=SIZE)
    pg.build(before)
    pg.insert(before, {"Item": [{"name": None, "size": n} for n in range(5)] + [{"name": "a", "size": 9}]})
    pg.run(after, online=True, batch_size=batch)
    assert [name for (name,) in pg.values("shop_item", "name")] == ["a", *(["x" if default == "x" else "y"] * 5)]
    pg.assert_settled(after)


@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("null", [False, True])
def test_column_with_a_value_for_each_row(pg, batch, unique, null):
    after = item(name=NAME, size=SIZE, code=models.UUIDField(default=uuid.uuid4, unique=unique, null=null))
    pg.build(PLAIN)
    pg.insert(PLAIN, ROWS)
    pg.run(after, online=True, batch_size=batch)
    assert len({code for (code,) in pg.values("shop_item", "code")} - {None}) == 3
    pg.assert_settled(after)


def groups(**options):
    return State(
        Group={"name": NAME}, Item={"size": SIZE, "group": models.ForeignKey("Group", models.CASCADE, **options)}
    )


def test_foreign_key(pg):
    before = State(
        Group={"name": NAME},
        Item={"size": SIZE, "group": models.ForeignKey("Group", models.CASCADE, db_constraint=False)},
    )
    rows = {"Group": [{"name": "a"}], "Item": [{"size": 1, "group_id": 1}]}
    plan = pg.update(before, groups(), rows, online=True)
    assert "NOT VALID" in plan.sql() and "VALIDATE CONSTRAINT" in plan.sql()


def test_column_with_a_foreign_key(pg):
    before = State(Group={"name": NAME}, Item={"size": SIZE})
    rows = {"Group": [{"name": "a"}], "Item": [{"size": 1}]}
    pg.update(before, groups(null=True), rows, online=True)


def test_new_table_that_points_at_one_in_use(pg):
    pg.update(State(Group={"name": NAME}), groups(), {"Group": [{"name": "a"}]}, online=True)


def test_primary_key(pg):
    before = item(code=models.IntegerField(primary_key=True), other=models.IntegerField())
    after = item(code=models.IntegerField(), other=models.IntegerField(primary_key=True))
    plan = pg.update(before, after, {"Item": [{"code": 1, "other": 2}, {"code": 2, "other": 1}]}, online=True)
    assert "PRIMARY KEY USING INDEX" in plan.sql()


#: Keys in the place of an automatic one: of a column that is there, and of one that gets a value for each row.
OTHER_KEYS = {
    "column that is unique": (models.IntegerField(unique=True), models.IntegerField(primary_key=True)),
    "column that is not": (models.IntegerField(), models.IntegerField(primary_key=True)),
    "new column": (None, models.UUIDField(primary_key=True, default=uuid.uuid4)),
}


@pytest.mark.parametrize("name", OTHER_KEYS)
def test_table_keeps_its_key_until_another_is_there(pg, name):
    before, after = OTHER_KEYS[name]
    old = item(name=NAME, **({"code": before} if before else {}))
    rows = {"Item": [{"name": "a"} | ({"code": n} if before else {}) for n in range(5)]}
    plan = pg.update(old, item(name=NAME, code=after), rows, online=True, accept_data_loss=True)
    (swap,) = [step.sql for step in plan.online if "PRIMARY KEY USING INDEX" in step.sql]
    assert 'DROP COLUMN "id"' in swap


def test_composite_key(pg):
    key = models.CompositePrimaryKey("one", "two")
    fields = {"pk": key, "one": models.IntegerField(), "two": models.CharField(max_length=9)}
    before = item(**fields, name=models.CharField(max_length=20, null=True))
    after = item(**fields, name=models.CharField(max_length=20, default="x"))
    pg.build(before)
    pg.insert(before, {"Item": [{"one": n % 3, "two": f"it's {n // 3}", "name": None} for n in range(9)]})
    pg.run(after, online=True, batch_size=2)
    assert pg.values("shop_item", "name") == [("x",)] * 9
    pg.assert_settled(after)


#: One change of each kind, so that a run has statements of each.
BEFORE_ALL = State(
    Group={"name": NAME},
    Item={
        "name": models.CharField(max_length=20, null=True),
        "size": models.IntegerField(null=True),
        "code": models.CharField(max_length=10, db_index=True),
        "gone": models.IntegerField(null=True),
        "group": models.ForeignKey("Group", models.CASCADE, db_constraint=False),
        "Meta": {"constraints": [models.UniqueConstraint(fields=["code"], name="u")]},
    },
    Old={"name": NAME},
)
AFTER_ALL = State(
    Group={"name": NAME, "rank": models.IntegerField(default=3)},
    Item={
        "name": models.CharField(max_length=30, default="x"),
        "size": models.IntegerField(default=lambda: 5),
        "code": models.CharField(max_length=10),
        "key": models.UUIDField(default=uuid.uuid4, unique=True),
        "chance": models.FloatField(db_default=Random()),
        "maybe": models.UUIDField(default=uuid.uuid4, null=True),
        "perhaps": models.FloatField(db_default=Random(), null=True),
        "group": models.ForeignKey("Group", models.CASCADE),
        "Meta": {
            "constraints": [
                models.UniqueConstraint(fields=["code", "size"], name="u"),
                models.UniqueConstraint(fields=["code"], name="d", deferrable=Deferrable.DEFERRED),
                models.CheckConstraint(condition=Q(size__gt=0), name="c"),
            ],
            "indexes": [models.Index(fields=["name"], name="i")],
        },
    },
    New={"item": models.ForeignKey("Item", models.CASCADE)},
)
ROWS_ALL = {
    "Group": [{"name": "g"}],
    "Item": [{"name": None if n % 2 else "a", "size": n or None, "code": f"c{n}", "group_id": 1} for n in range(5)],
}
#: What no finished run leaves behind: the names of indexes that are not valid and of constraints that are not.
REMNANTS = """
SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid
UNION ALL SELECT conname FROM pg_constraint WHERE NOT convalidated
UNION ALL SELECT conname FROM pg_constraint
          WHERE contype = 'c' AND pg_get_constraintdef(oid) ~ 'IS (NOT )?NULL' AND connamespace = 'public'::regnamespace
"""
CHANGES = ("ALTER ", "CREATE ", "DROP ", "UPDATE ", "COMMENT ")


def statements_of(case, state, **options):
    """Run, and return how many statements of it change something."""
    sent = []

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(CHANGES) and "pg_temp" not in sql and "automigrate_ext" not in sql:
            sent.append(sql)
            if options.get("stop") == (len(sent), "before"):
                raise KeyboardInterrupt
        result = execute(sql, params, many, context)
        if options.get("stop") == (len(sent), "after") and sent[-1:] == [sql]:
            raise KeyboardInterrupt
        return result

    with case.connection.execute_wrapper(wrapper):
        case.run(state, online=True, batch_size=2)
    return len(sent)


def test_every_kind_of_change_at_once(pg):
    recorded(pg, BEFORE_ALL)
    pg.insert(BEFORE_ALL, ROWS_ALL)
    plan = pg.plan(AFTER_ALL, online=True)
    assert not plan.refused
    pg.run(AFTER_ALL, online=True)
    assert pg.query(REMNANTS) == []
    pg.assert_settled(AFTER_ALL)


@pytest.mark.parametrize(("when", "online"), [("before", True), ("after", False)], ids=["online", "ordinary"])
def test_next_run_finishes_what_was_interrupted(postgresql, online, when):
    pg = Case(postgresql, "automigrate")
    number = 0
    while True:
        number += 1
        recorded(pg, BEFORE_ALL)
        pg.insert(BEFORE_ALL, ROWS_ALL)
        try:
            statements_of(pg, AFTER_ALL, stop=(number, when))
        except KeyboardInterrupt:
            pass
        else:
            break
        pg.run(AFTER_ALL, online=online)
        assert pg.query(REMNANTS) == [], number
        for column in ("key", "chance", "maybe", "perhaps"):
            assert len({value for (value,) in pg.values("shop_item", column)} - {None}) == 5, (number, column)
        pg.assert_settled(AFTER_ALL)
        pg.drop(AFTER_ALL)
        pg.execute("DROP TABLE automigrate_ext_owned")
    assert number > 20


def test_rewrite_of_a_large_table_is_refused(pg):
    after = item(name=NAME, size=models.BigIntegerField())
    plan = pg.refused(PLAIN, after, ROWS, "rewrites-table", online=True, rewrite_limit=2)
    assert "rewrites the table (3 rows)" in str(plan.refused[0].hazards[0])
    pg.update(PLAIN, after, built=True, online=True, rewrite_limit=3)
