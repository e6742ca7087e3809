"""Hints at renames: where they are written, when they are applied, and the notes on them."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test import override_settings

from automigrate_ext import AutomigrateError, autoupdate, is_actual
from automigrate_ext.renames.content_types import rename_content_types
from automigrate_ext.renames.hints import problems_of
from automigrate_ext.renames.request import RenameRequest
from automigrate_ext.renames.requested import RenamedModel
from automigrate_ext.starts.checks import check_hints
from tests.acceptance.helper import Case, State, item
from tests.management.test_commands import run
from todo_demo.todo.models import Todo, TodoList

TEXT = models.CharField(max_length=20)


@pytest.fixture
def case(connection):
    return Case(connection, "autoupdate")


def hinted(**names):
    """Return a model whose field has had other names."""
    return item(name=TEXT, former_names=names)


def filled(case, state=None):
    state = state or item(title=TEXT)
    case.build(state)
    case.insert(state, {"Item": [{field.name: "a" for field in state["Item"]._meta.local_fields[1:]}]})


def test_hint_renames_once_and_then_says_that_it_is_done(case):
    filled(case)
    after = hinted(name="title")
    assert not is_actual(using=case.alias, apps=after.apps)
    plan = case.run(after)
    assert [change.describe() for change in plan.changes] == ["Rename column shop_item.title to name"]
    assert plan.notes == ()
    assert case.values("shop_item", "name") == [("a",)]
    again = case.run(after)
    assert not again
    note = (
        f'The hint "title" for shop.Item.name has nothing left to do in database "{case.alias}"; '
        f"remove it once every database has been updated."
    )
    assert again.notes == (note,)
    assert case.plan(after).as_dict()["notes"] == [note]


def test_hint_on_an_empty_database_says_nothing(case):
    assert case.run(hinted(name="title")).notes == ()


@pytest.mark.parametrize("old", ["title", "label"])
def test_several_former_names(case, old):
    filled(case, item(**{old: TEXT}))
    case.run(hinted(name=("label", "title")))
    assert case.values("shop_item", "name") == [("a",)]
    (note,) = case.run(hinted(name=("label", "title"))).notes
    assert note.startswith('The hint "label", "title" for shop.Item.name has nothing left')


def test_hint_where_both_are_there_is_no_error(case):
    filled(case, item(title=TEXT, name=TEXT))
    plan = case.run(hinted(name="title"))
    assert [judgement.change.describe() for judgement in plan.withheld] == ["Drop column shop_item.title"]
    (note,) = plan.notes
    assert "was not applied" in note and "shop_item.title and shop_item.name are both there" in note


def test_hint_whose_old_name_is_a_new_field_is_done(case):
    filled(case)
    after = item(name=TEXT, title=models.CharField(max_length=20, default="b"), former_names={"name": "title"})
    case.run(after)
    assert case.values("shop_item", "name", "title") == [("a", "b")]
    assert "nothing left to do" in case.run(after).notes[0]


def test_hints_never_trade_names(case):
    state = item(a=TEXT, b=TEXT, former_names={"a": "b", "b": "a"})
    filled(case, item(a=TEXT, b=TEXT))
    assert not case.run(state)


def test_renames_that_are_asked_for_win_over_hints(case):
    filled(case)
    after = item(name=TEXT, label=models.CharField(max_length=20, default="x"), former_names={"name": "title"})
    case.run(after, renames={"shop.Item.title": "label"}, defaults={"shop.Item.name": "y"})
    assert case.values("shop_item", "label", "name") == [("a", "y")]


def test_hint_of_a_renamed_model_takes_many_to_many_tables_along(case):
    def state(name, **more):
        many = {"tags": models.ManyToManyField("shop.Tag", related_name="+"), **more}
        return State(Tag={"name": TEXT}, **{name: many})

    before, after = state("Item"), state("Thing", former_names={"Thing": "Item"})
    case.build(before)
    case.insert(before, {"Item": [{}], "Tag": [{"name": "t"}], "Item.tags": [{"item_id": 1, "tag_id": 1}]})
    case.run(after)
    assert case.values("shop_thing_tags", "thing_id", "tag_id") == [(1, 1)]
    (note,) = case.run(after).notes
    assert note.startswith('The hint "Item" for shop.Thing has nothing left')


def test_hints_of_a_model_and_its_field_at_once(case):
    filled(case)
    after = State(Thing={"name": TEXT, "former_names": {"Thing": "Item", "name": "title"}})
    case.run(after)
    assert case.values("shop_thing", "name") == [("a",)]
    case.assert_settled(after)


def test_hint_of_an_abstract_base_counts_where_the_field_is(case):
    class Named(models.Model):
        name = models.CharField(max_length=20)
        former_names = {"name": "title", "nothing": "else"}  # noqa: RUF012

        class Meta:
            abstract = True
            app_label = "shop"

    filled(case)
    after = State(Item={"bases": [Named], "former_names": {}}, Other={"size": models.IntegerField()})
    case.run(after)
    assert case.values("shop_item", "name") == [("a",)]


def test_field_of_that_name_is_no_hint(case):
    case.run(item(former_names=TEXT))
    assert case.values("shop_item", "former_names") == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("title", "has to be a dictionary"),
        ({"nothing": "title"}, "'nothing' is neither the model's name nor a field"),
        ({"name": 5}, "5 is no former name"),
        ({"name": ()}, "() is no former name"),
        ({"name": ""}, "'' is no former name"),
        ({"name": ("title", 3)}, "is no former name"),
        ({"name": "name"}, "its own name"),
    ],
)
def test_malformed_hint_is_an_error(case, said, words):
    case.build(item(title=TEXT))
    before = case.introspect(["shop_item"])
    with pytest.raises(AutomigrateError, match=r"^shop\.Item\.former_names") as caught:
        case.run(item(name=TEXT, former_names=said))
    assert words in str(caught.value)
    assert case.introspect(["shop_item"]) == before


def test_hint_at_an_inherited_field_says_where_it_belongs(case):
    state = State(Parent={"name": TEXT}, Child={"bases": ["Parent"], "former_names": {"name": "title"}})
    with pytest.raises(AutomigrateError, match=r"it belongs to shop\.Parent"):
        case.run(state)


def test_hint_of_a_parent_is_no_matter_of_its_children(case):
    def state(name, **more):
        return State(Parent={name: TEXT, **more}, Child={"bases": ["Parent"], "size": models.IntegerField()})

    before, after = state("title"), state("name", former_names={"name": "title"})
    case.build(before)
    case.insert(before, {"Child": [{"title": "a", "size": 1}]})
    case.run(after)
    assert case.values("shop_parent", "name") == [("a",)]


# The setting


@pytest.mark.parametrize(
    "renames",
    [{"shop.Item.title": "name"}, {"shop_item.title": "name"}],
    ids=["field", "column"],
)
def test_hint_of_the_setting(case, renames):
    filled(case)
    other = {"todo_old": "todo_todo", "todo.Todo.heading": "title"}
    with override_settings(AUTOMIGRATE={"RENAMES": {**renames, **other}}):
        case.run(item(name=TEXT))
        (note,) = case.run(item(name=TEXT)).notes
    assert case.values("shop_item", "name") == [("a",)]
    assert note.startswith(f'The hint "{next(iter(renames))}" in AUTOMIGRATE["RENAMES"] has nothing left')


def test_hint_of_the_setting_renames_a_model_and_a_table(case):
    before = State(Item={"title": TEXT}, Box={"title": TEXT, "Meta": {"db_table": "boxes"}})
    after = State(Thing={"title": TEXT}, Box={"title": TEXT, "Meta": {"db_table": "crates"}})
    case.build(before)
    case.insert(before, {"Item": [{"title": "a"}], "Box": [{"title": "b"}]})
    with override_settings(AUTOMIGRATE={"RENAMES": {"shop.Item": "Thing", "boxes": "crates"}}):
        case.run(after)
    assert case.values("shop_thing", "title") == [("a",)]
    assert case.values("crates", "title") == [("b",)]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (["RENAMES"], "AUTOMIGRATE has to be a dictionary"),
        ({"RENAME": {}, "X": 1}, "unknown keys: 'RENAME', 'X'. Its keys are 'RENAMES'"),
        ({"RENAMES": ["a"]}, "AUTOMIGRATE['RENAMES'] has to be a dictionary"),
        ({"RENAMES": {"todo.Todo.x": 5}}, "'todo.Todo.x': 5 is no pair"),
        ({"RENAMES": {"todo.Todo.x": "nothing"}}, "todo.Todo has no field 'nothing'"),
        ({"RENAMES": {"nothing": "at_all"}}, 'The hint "nothing" in AUTOMIGRATE["RENAMES"]: no such'),
        ({"RENAMES": {"todo_todo.x": "nothing"}}, "no column 'nothing' in todo_todo"),
    ],
)
def test_malformed_setting_is_an_error_and_a_failed_check(connection, setting, words):
    with override_settings(AUTOMIGRATE=setting):
        (error,) = check_hints(None)
        assert (words in error.msg, error.id) == (True, "automigrate_ext.E002")
        _, err, status = run("autoupdate", database=connection.alias, skip_checks=True)
        assert status == 2
        assert words in err
    assert connection.introspection.table_names() == []


@override_settings(AUTOMIGRATE={"RENAMES": {"todo.Todo.heading": "title", "todo.Item": "Todo", "todo.Item.x": "desc"}})
def test_well_formed_hints_pass_the_checks():
    assert check_hints(None) == []


def test_checks_look_at_models(monkeypatch):
    monkeypatch.setattr(Todo, "former_names", {"nothing": "title"}, raising=False)
    (error,) = check_hints(None)
    assert (error.id, error.obj) == ("automigrate_ext.E001", Todo)
    assert run("check")[2] == 1


# What the commands print, and what goes along with a renamed model


def test_notes_are_printed_on_stderr(connection, monkeypatch):
    alias = connection.alias
    run("autoupdate", database=alias)
    monkeypatch.setattr(Todo, "former_names", {"title": "heading", "Todo": "Item"}, raising=False)
    out, err, status = run("autoupdate", database=alias)
    assert (out, status) == ("Nothing to do: the database matches the models.\n", 0)
    assert err.splitlines() == [
        f'The hint "heading" for todo.Todo.title has nothing left to do in database "{alias}"; '
        f"remove it once every database has been updated.",
        f'The hint "Item" for todo.Todo has nothing left to do in database "{alias}"; '
        f"remove it once every database has been updated.",
    ]
    assert run("autoupdate", database=alias, verbosity=0)[1] == ""
    assert run("autoupdate", database=alias, format="json")[1] == ""


def test_content_type_and_permissions_follow_a_renamed_model(connection, monkeypatch):
    alias = connection.alias
    run("autoupdate", database=alias)
    as_item(connection)
    kept = pretend_item(alias)
    monkeypatch.setattr(Todo, "former_names", {"Todo": "Item"}, raising=False)
    run("autoupdate", database=alias)
    group = Group.objects.using(alias).get()
    names = group.permissions.values_list("pk", "codename", "name").order_by("codename")
    assert list(names) == [
        (kept["add"], "add_todo", "Can add to-do"),
        (kept["change"], "change_todo", "Can change to-do"),
    ]
    types = ContentType.objects.using(alias).filter(app_label="todo").values_list("model", flat=True)
    assert sorted(types) == ["todo", "todolist", "todolistimage"]
    codenames = Permission.objects.using(alias).filter(content_type__model="todo").values_list("codename", flat=True)
    assert sorted(codenames) == ["add_todo", "change_item_color", "change_todo", "delete_todo", "view_todo"]


def test_permission_that_is_there_already_stays_beside_the_old_one(connection):
    alias = connection.alias
    run("autoupdate", database=alias)
    as_item(connection)
    kept = pretend_item(alias)
    kind = ContentType.objects.using(alias).get(app_label="todo", model="item")
    Permission.objects.using(alias).create(content_type=kind, codename="add_todo", name="Mine")
    autoupdate(using=alias, renames={"todo.Item": "Todo"})
    found = Permission.objects.using(alias).filter(content_type__model="todo", codename__startswith="add")
    assert sorted(found.values_list("codename", "name")) == [("add_item", "Can add item"), ("add_todo", "Mine")]
    assert found.get(codename="add_item").pk == kept["add"]


def test_model_that_keeps_its_table_keeps_its_content_type(connection):
    alias = connection.alias
    run("autoupdate", database=alias)
    pretend_item(alias)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE automigrate_ext_owned SET owner = 'todo.Item' WHERE name = 'todo_todo'")
    pk = ContentType.objects.using(alias).get(app_label="todo", model="item").pk
    assert not autoupdate(using=alias, renames={"todo.Item": "Todo"})
    assert ContentType.objects.using(alias).get(app_label="todo", model="todo").pk == pk


def test_content_types_of_models_that_trade_names(connection):
    alias = connection.alias
    run("autoupdate", database=alias)
    types = ContentType.objects.using(alias).filter(app_label="todo")
    before = dict(types.values_list("model", "pk"))
    permission = Permission.objects.using(alias).get(codename="add_todo")
    renamed = [
        RenamedModel(
            model=Todo, old_app="todo", old_name="TodoList", request=RenameRequest(old="todo.TodoList", new="Todo")
        ),
        RenamedModel(
            model=TodoList, old_app="todo", old_name="Todo", request=RenameRequest(old="todo.Todo", new="TodoList")
        ),
    ]
    rename_content_types(renamed, alias, apps)
    assert dict(types.values_list("model", "pk")) == {
        **before,
        "todo": before["todolist"],
        "todolist": before["todo"],
    }
    permission.refresh_from_db()
    assert (permission.codename, permission.name) == ("add_todolist", "Can add to-do list")


def test_content_type_of_a_model_that_moves_to_another_app(connection):
    alias = connection.alias
    run("autoupdate", database=alias)
    types = ContentType.objects.using(alias)
    old = types.create(app_label="books", model="task")
    permission = Permission.objects.using(alias).create(content_type=old, codename="add_task", name="Can add task")
    types.filter(app_label="todo", model="todo").delete()
    request = RenameRequest(old="books.Task", new="todo.Todo")
    rename_content_types([RenamedModel(model=Todo, old_app="books", old_name="Task", request=request)], alias, apps)
    assert types.get(app_label="todo", model="todo").pk == old.pk
    permission.refresh_from_db()
    assert (permission.codename, permission.content_type_id) == ("add_todo", old.pk)


def test_content_type_stays_where_the_new_one_is_there(connection):
    alias = connection.alias
    run("autoupdate", database=alias)
    types = ContentType.objects.using(alias)
    old, new = types.create(app_label="books", model="todo"), types.get(app_label="todo", model="todo")
    request = RenameRequest(old="books.Todo", new="todo.Todo")
    rename_content_types([RenamedModel(model=Todo, old_app="books", old_name="Todo", request=request)], alias, apps)
    assert types.get(app_label="books", model="todo").pk == old.pk
    assert types.get(app_label="todo", model="todo").pk == new.pk


@pytest.mark.parametrize("name", ["books.Todo", ("Task", "books.Task")])
def test_former_name_of_a_model_may_be_in_another_app(name):
    assert list(problems_of(item(name=TEXT, former_names={"Item": name})["Item"])) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"name": "books.Todo.title"}, "is no former name"),
        ({"name": "a.title"}, "is no former name"),
        ({"Item": "a.b.Todo"}, "is no former name"),
        ({"Item": "books."}, "is no former name"),
        ({"Item": "shop.Item"}, "has its own name as a former one"),
    ],
)
def test_malformed_former_names_with_apps(names, words):
    (problem,) = problems_of(item(name=TEXT, former_names=names)["Item"])
    assert words in problem


def as_item(connection):
    """Turn the table of Todo into that of a model Item."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE todo_todo RENAME TO todo_item")
        cursor.execute(
            "UPDATE automigrate_ext_owned SET name = 'todo_item', owner = 'todo.Item' WHERE name = 'todo_todo'"
        )


def pretend_item(alias):
    """Turn the content type and permissions of Todo into those of a model Item, and give two of them to a group."""
    types = ContentType.objects.using(alias)
    types.filter(app_label="todo", model="todo").update(model="item")
    ContentType.objects.clear_cache()
    kind = types.get(app_label="todo", model="item")
    permissions = Permission.objects.using(alias).filter(content_type=kind)
    for permission in permissions:
        action = permission.codename.split("_")[0]
        permissions.filter(pk=permission.pk).update(codename=f"{action}_item", name=f"Can {action} item")
    permissions.create(content_type=kind, codename="change_item_color", name="Paint")
    kept = {action: permissions.get(codename=f"{action}_item").pk for action in ("add", "change")}
    group = Group.objects.using(alias).create(name="writers")
    group.permissions.add(*permissions.filter(pk__in=kept.values()))
    return kept
