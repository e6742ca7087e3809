"""Foreign keys: added, dropped, aimed elsewhere; to_field, db_constraint, what the database does on delete."""

import pytest
from django.db import models

from tests.acceptance.helper import Case, State
from tests.features import has, need

NAME = models.CharField(max_length=20, unique=True)
ROWS = {"Shelf": [{"name": "s"}, {"name": "t"}], "Item": [{"shelf_id": 1}, {"shelf_id": 2}]}


def shelved(field=None, **more):
    return State(Shelf={"name": NAME}, Item={**({"shelf": field} if field else {}), **more})


def key(to="Shelf", **options):
    return models.ForeignKey(to, options.pop("on_delete", models.CASCADE), **options)


class Key(models.ForeignKey):
    """A subclass, for which Django makes an index on MariaDB, unlike for `ForeignKey`."""


FIELDS = {
    "plain": key(),
    "subclass": Key("Shelf", models.CASCADE),
    "subclass to itself": Key("self", models.CASCADE, null=True),
    "subclass without constraint": Key("Shelf", models.CASCADE, db_constraint=False),
    "nullable": key(null=True),
    "self": key("self", null=True),
    "without index": key(db_index=False),
    "without constraint": key(db_constraint=False),
    "to field": key(to_field="name"),
    "to field nullable": key(to_field="name", null=True, on_delete=models.SET_NULL),
    "column": key(db_column="rack"),
    "unique": key(unique=True, null=True),
    "one to one": models.OneToOneField("Shelf", models.CASCADE, null=True),
    "default": key(default=1),
}


def need_keys_of_subclasses(case, name):
    if name in ("subclass", "subclass to itself"):
        need(case.connection, "keys of subclasses")


@pytest.mark.django
@pytest.mark.parametrize("name", FIELDS)
def test_foreign_key_unchanged(case, name):
    need_keys_of_subclasses(case, name)
    case.unchanged(shelved(FIELDS[name]))


@pytest.mark.parametrize("name", FIELDS)
def test_foreign_key_added_and_removed(case, name):
    need_keys_of_subclasses(case, name)
    case.update(shelved(), shelved(FIELDS[name]))
    case.update(shelved(FIELDS[name]), shelved(), built=True)


def test_nullable_foreign_key_added_to_rows(case):
    before, after = shelved(), shelved(key(null=True))
    case.update(before, after, {"Shelf": [{"name": "s"}], "Item": [{}]})
    assert case.values("shop_item", "shelf_id") == [(None,)]


def test_foreign_key_added_with_default(case):
    case.update(shelved(), shelved(key(default=1)), {"Shelf": [{"name": "s"}], "Item": [{}, {}]})
    assert case.values("shop_item", "shelf_id") == [(1,), (1,)]


def test_foreign_key_becomes_one_to_one_and_back(case):
    before, after = shelved(key()), shelved(models.OneToOneField("Shelf", models.CASCADE))
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_foreign_key_becomes_plain_column_and_back(case):
    before, after = shelved(key()), shelved(None, shelf_id=models.BigIntegerField())
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_foreign_key_aimed_elsewhere(case):
    def state(to):
        return State(Shelf={"name": NAME}, Rack={"name": NAME}, Item={"shelf": key(to)})

    rows = {**ROWS, "Rack": [{"name": "a"}, {"name": "b"}]}
    case.update(state("Shelf"), state("Rack"), rows, changes=["Drop foreign key", "Add foreign key"])


def test_foreign_key_aimed_at_a_new_table(case):
    after = State(Shelf={"name": NAME}, Rack={"name": NAME}, Item={"shelf": key("Rack", null=True)})
    case.update(shelved(key(null=True)), after, {"Shelf": [{"name": "s"}], "Item": [{"shelf_id": None}]})


def test_foreign_key_constraint_switched_off_and_on(case):
    before, after = shelved(key()), shelved(key(db_constraint=False))
    apart = has(case.connection, "indexes apart from foreign keys")
    case.update(before, after, ROWS, changes=["Drop foreign key", *([] if apart else ["Add index"])])
    case.update(after, before, changes=["Add foreign key", *([] if apart else ["Drop index"])], built=True)


def test_foreign_key_index_switched_off_and_on(case):
    before, after = shelved(key()), shelved(key(db_index=False))
    apart = has(case.connection, "indexes apart from foreign keys")
    case.update(before, after, ROWS, changes=["Drop index"] if apart else [])
    case.update(after, before, changes=["Add index"] if apart else [], built=True)


def test_foreign_key_becomes_one_of_a_subclass_and_back(case):
    need(case.connection, "keys of subclasses")
    before, after = shelved(key()), shelved(Key("Shelf", models.CASCADE))
    case.update(before, after, ROWS, changes=[])
    case.update(after, before, changes=[], built=True)


def test_constraint_of_a_subclass_switched_off_and_on(case):
    need(case.connection, "keys of subclasses")
    before, after = shelved(Key("Shelf", models.CASCADE)), shelved(Key("Shelf", models.CASCADE, db_constraint=False))
    case.update(before, after, ROWS)
    case.update(after, before, built=True)


def test_subclass_aimed_elsewhere(case):
    need(case.connection, "keys of subclasses")

    def state(to, **options):
        return State(Shelf={"name": NAME}, Rack={"name": NAME}, Item={"shelf": Key(to, models.CASCADE, **options)})

    rows = {**ROWS, "Rack": [{"name": "a"}, {"name": "b"}]}
    case.update(state("Shelf"), state("Rack"), rows)
    case.update(state("Rack"), state("Rack", null=True), built=True)
    case.update(
        state("Rack", null=True),
        State(Shelf={"name": NAME}, Rack={"name": NAME}, Item={}),
        {},
        built=True,
        accept_data_loss=True,
    )


def test_named_index_over_the_column_of_a_foreign_key(case):
    """A name that the models give is a difference, also where the index is the one that the key rests on."""
    need(case.connection, "keys of subclasses")

    def state(field, *names):
        return shelved(field, Meta={"indexes": [models.Index(fields=["shelf"], name=name) for name in names]})

    case.update(state(key()), state(key(), "one"), ROWS, changes=["Add index"])
    case.update(state(key(), "one"), state(Key("Shelf", models.CASCADE), "one"), built=True)
    case.update(state(Key("Shelf", models.CASCADE), "one"), state(key(), "two"), built=True)
    case.update(state(key(), "two"), state(key()), changes=["Drop index"], built=True)


def test_foreign_key_to_another_field(case):
    def state(**options):
        shelf = {"name": NAME, "code": models.IntegerField(unique=True)}
        return State(Shelf=shelf, Item={"shelf": key(**options)})

    before, after = state(to_field="code"), state(to_field="id")
    rows = {"Shelf": [{"name": "s", "code": 1}], "Item": [{"shelf_id": 1}]}
    case.update(before, after, rows)
    case.update(after, before, built=True)


def test_target_of_to_field_retyped(case):
    def state(code):
        return State(Shelf={"code": code}, Item={"shelf": key(to_field="code", null=True)})

    before = state(models.IntegerField(unique=True))
    after = state(models.CharField(max_length=9, unique=True))
    rows = {"Shelf": [{"code": 7}], "Item": [{"shelf_id": 7}, {"shelf_id": None}]}
    case.update(before, after, rows)
    assert case.values("shop_item", "shelf_id") == [(None,), ("7",)]
    case.update(after, before, built=True)


def test_foreign_keys_in_a_cycle(case):
    def state(**options):
        return State(
            Egg={"hen": key("Hen", null=True), "size": models.IntegerField(**options)},
            Hen={"egg": key("Egg", null=True), "size": models.IntegerField(**options)},
        )

    before, after = state(), state(null=True)
    rows = {"Egg": [{"size": 1}], "Hen": [{"egg_id": 1, "size": 2}]}
    case.unchanged(before)
    case.update(before, after, rows, built=True)


def test_self_reference_and_key_retyped(case):
    def state(pk):
        return State(Item={"id": pk, "parent": key("self", null=True)})

    before, after = state(models.AutoField(primary_key=True)), state(models.BigAutoField(primary_key=True))
    rows = {"Item": [{"parent_id": None}, {"parent_id": 1}]}
    case.update(before, after, rows)
    case.update(after, before, built=True)


def on_delete(name):
    return getattr(models, name)


@pytest.mark.django
@pytest.mark.parametrize("name", ["DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"])
def test_database_level_on_delete(case, name):
    need(case.connection, "database-level on delete")
    if name == "DB_SET_DEFAULT":
        need(case.connection, "database-level set default")
    options = {"null": True, "db_default": 1} if name == "DB_SET_DEFAULT" else {"null": True}
    before = shelved(key(**options))
    after = shelved(key(on_delete=on_delete(name), **options))
    case.unchanged(after, {"Shelf": [{"name": "s"}], "Item": [{"shelf_id": 1}]})
    case.run(after)
    case.update(after, before, changes=["Drop foreign key", "Add foreign key"], built=True)
    case.update(before, after, changes=["Drop foreign key", "Add foreign key"], built=True)


SET_DEFAULT_KEYS = {
    "plain": (models.ForeignKey, {}),
    "to field": (models.ForeignKey, {"to_field": "code"}),
    "one to one": (models.OneToOneField, {}),
    "subclass": (Key, {}),
}


@pytest.mark.parametrize("name", SET_DEFAULT_KEYS)
def test_action_that_the_server_forgets(mariadb, name):
    """MariaDB takes ON DELETE SET DEFAULT, and does and prints nothing of the kind."""
    need(mariadb, "database-level on delete")
    need(mariadb, "actions that the server forgets")
    field_class, more = SET_DEFAULT_KEYS[name]

    def state(action, **options):
        options = {"null": True, "db_default": 1, **more, **options}
        shelf = {"name": NAME, "code": models.IntegerField(unique=True)}
        return State(Shelf=shelf, Item={"shelf": field_class("Shelf", getattr(models, action), **options)})

    case, default = Case(mariadb, "syncdb"), state("DB_SET_DEFAULT")
    case.unchanged(default, {"Shelf": [{"name": "s", "code": 1}], "Item": [{"shelf_id": 1}]})
    case.run(default)
    case.update(default, state("CASCADE"), changes=[], built=True)
    case.update(default, state("DB_CASCADE"), changes=["Drop foreign key", "Add foreign key"], built=True)
    case.update(default, default, changes=["Drop foreign key", "Add foreign key"], built=True)
    case.update(default, state("DB_SET_DEFAULT", db_column="rack"), built=True, renames={"shop_item.shelf_id": "rack"})


def test_action_that_the_server_forgets_is_none_made_by_hand(mariadb):
    """The models say something, so that what somebody made by hand is a difference."""
    need(mariadb, "database-level on delete")
    need(mariadb, "actions that the server forgets")
    state = shelved(key(on_delete=on_delete("DB_SET_DEFAULT"), null=True, db_default=1))
    case = Case(mariadb, "syncdb")
    case.build(state)
    (constraint,) = case.introspect(["shop_item"]).tables["shop_item"].foreign_keys
    case.execute(
        f"ALTER TABLE shop_item DROP FOREIGN KEY {constraint.name}",
        f"ALTER TABLE shop_item ADD CONSTRAINT {constraint.name} FOREIGN KEY (shelf_id) "
        "REFERENCES shop_shelf (id) ON DELETE CASCADE",
    )
    case.update(state, state, changes=["Drop foreign key", "Add foreign key"], built=True)


def test_handmade_on_delete_is_no_difference(pg):
    state = shelved(key())
    pg.run(state)
    (constraint,) = pg.introspect(["shop_item"]).tables["shop_item"].foreign_keys
    pg.execute(
        f'ALTER TABLE shop_item DROP CONSTRAINT "{constraint.name}"',
        f'ALTER TABLE shop_item ADD CONSTRAINT "{constraint.name}" FOREIGN KEY (shelf_id) '
        "REFERENCES shop_shelf (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
    )
    pg.update(state, state, ROWS, changes=[], built=True, exact=False)


def test_foreign_key_not_deferred_by_hand_is_made_anew(pg):
    state = shelved(key())
    pg.run(state)
    (constraint,) = pg.introspect(["shop_item"]).tables["shop_item"].foreign_keys
    pg.execute(
        f'ALTER TABLE shop_item DROP CONSTRAINT "{constraint.name}"',
        f'ALTER TABLE shop_item ADD CONSTRAINT "{constraint.name}" FOREIGN KEY (shelf_id) REFERENCES shop_shelf (id)',
    )
    pg.update(state, state, ROWS, changes=["Drop foreign key", "Add foreign key"], built=True)


def test_foreign_key_of_an_unmanaged_table_survives(case):
    need(case.connection, "foreign keys between types")

    def state(pk):
        return State(Shelf={"id": pk, "name": NAME})

    before, after = state(models.AutoField(primary_key=True)), state(models.BigAutoField(primary_key=True))
    case.run(before)
    kind = "bigint" if case.vendor == "sqlite" else "integer"
    case.execute(f"CREATE TABLE outside (shelf {kind} NOT NULL REFERENCES shop_shelf (id))")
    case.insert(before, {"Shelf": [{"name": "s"}]})
    case.execute("INSERT INTO outside VALUES (1)")
    case.update(before, after, built=True)
    (foreign_key,) = case.introspect(["outside"]).tables["outside"].foreign_keys
    assert (foreign_key.to_table, foreign_key.to_columns) == ("shop_shelf", ("id",))
    assert case.values("outside", "shelf") == [(1,)]


def test_foreign_keys_and_tables_created_together(case):
    after = State(
        A={"b": key("B"), "self_": key("self", null=True)},
        B={"c": key("C")},
        C={"a": key("A", null=True)},
        Shelf={"name": NAME, "a": key("A", null=True)},
        Item={"c": key("C", null=True)},
    )
    case.update(shelved(), after, {"Shelf": [{"name": "s"}], "Item": [{}]})


def test_foreign_key_across_schemas(case):
    need(case.connection, "schemas")
    case.execute("CREATE SCHEMA store")
    state = State(
        Shelf={"name": NAME, "Meta": {"db_table": '"store"."shelf"'}},
        Item={"shelf": key(), "shelves": models.ManyToManyField("Shelf", related_name="+")},
    )
    case.unchanged(state, ROWS)
