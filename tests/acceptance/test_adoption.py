"""What databases made by real applications carry, seen by adopting them."""

from django.db import models

from automigrate_ext import automigrate, autoupdate, is_actual, make_plan
from tests.acceptance.helper import Case, State, create_models

#: One character more than PostgreSQL keeps of a name.
LONG = "shop_taggeditem_content_type_id_object_id_tag_id_4bb97a8e_x_uniq"


def test_name_longer_than_the_server_keeps_is_the_same_name(case):
    assert len(LONG) == 64
    constraint = models.UniqueConstraint(fields=["a", "b"], name=LONG)
    covering = models.UniqueConstraint(fields=["b"], condition=models.Q(a=1), name=f"other_{LONG}")
    fields = {"a": models.IntegerField(), "b": models.IntegerField()}
    case.unchanged(State(Item={**fields, "Meta": {"constraints": [constraint, covering]}}))


def test_name_longer_than_the_server_keeps_on_a_plain_table(case):
    constraint = models.UniqueConstraint(fields=["a"], name=LONG)
    case.unchanged(State(Item={"a": models.IntegerField(), "Meta": {"constraints": [constraint]}}))


def test_virtual_table_of_a_model_is_never_touched(sqlite):
    state = State(
        Note={"text": models.TextField()},
        Search={"title": models.TextField(), "Meta": {"db_table": "note_search"}},
    )
    case = Case(sqlite, "syncdb")
    create_models(sqlite, [state["Note"]])
    case.execute("CREATE VIRTUAL TABLE note_search USING fts5(title)", "INSERT INTO note_search VALUES ('found')")
    before = case.query("SELECT name, sql FROM sqlite_master ORDER BY name")
    assert is_actual(using=case.alias, apps=state.apps)
    assert not make_plan(using=case.alias, apps=state.apps)
    autoupdate(using=case.alias, apps=state.apps)
    automigrate(using=case.alias, apps=state.apps)
    after = case.query("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'automigrate%' ORDER BY name")
    assert [row for row in after if "autoindex" not in row[0]] == before
    assert case.values("note_search", "title") == [("found",)]


def test_registry_of_ones_own_leaves_the_projects_tables_alone(connection):
    autoupdate("todo", using=connection.alias)
    state = State(Item={"a": models.IntegerField()})
    plan = autoupdate(using=connection.alias, apps=state.apps)
    assert [change.describe() for change in plan.changes] == ["Create table shop_item (2 columns)"]
    assert not make_plan(using=connection.alias, apps=State().apps).withheld
    assert [c.describe() for c in make_plan(using=connection.alias, apps=State().apps).changes] == [
        "Drop table shop_item"
    ]
    assert is_actual("todo", using=connection.alias)


def test_view_on_a_view_is_named_by_automigrate(postgresql):
    case = Case(postgresql, "automigrate")
    state = State(Item={"a": models.IntegerField()})
    case.build(state)
    case.execute(
        "CREATE VIEW outer_view AS SELECT * FROM shop_item", "CREATE MATERIALIZED VIEW m AS SELECT * FROM outer_view"
    )
    plan = automigrate(using=case.alias, apps=state.apps, dry_run=True)
    reasons = " ".join(str(hazard) for judgement in plan.refused for hazard in judgement.hazards)
    assert "The view outer_view" in reasons
    assert "The materialised view m " in reasons
