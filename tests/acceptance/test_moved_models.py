"""A model that moves to another app keeps its rows, links, sequence and indexes."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, is_actual
from automigrate_ext.schema.changes import CreateTable, DropTable
from tests.acceptance.helper import Case, State

NAME = models.CharField(max_length=20, db_index=True)
MOVE = {"books.Author": "crm.Author"}


@pytest.fixture
def case(connection):
    return Case(connection, "autoupdate")


def state(app, name="Author", table=None, *, stays=True, field="name", **more):
    """The model in an app; with `stays` the app that it leaves has another model."""
    meta = {"app_label": app, **({"db_table": table} if table else {})}
    tags = models.ManyToManyField("shop.Tag", related_name="+")
    friends = models.ManyToManyField("self")
    writer = models.ForeignKey(f"{app}.{name}", models.CASCADE, related_name="+")
    others = {"Book": {"title": NAME, "Meta": {"app_label": "books"}}} if stays else {}
    model = {field: NAME, "tags": tags, "friends": friends, "Meta": meta, **more}
    return State(Tag={"name": NAME}, **{name: model}, Page={"writer": writer}, **others)


ROWS = {
    "Tag": [{"name": "t"}],
    "Author": [{"name": "a"}, {"name": "b"}],
    "Author.tags": [{"author_id": 2, "tag_id": 1}],
    "Author.friends": [{"from_author_id": 1, "to_author_id": 2}],
    "Page": [{"writer_id": 2}],
}


@pytest.mark.parametrize("stays", [True, False], ids=["installed", "uninstalled"])
def test_table_follows_with_what_belongs_to_it(case, stays):
    after = state("crm", stays=stays)
    plan = case.update(state("books", stays=stays), after, ROWS, renames=MOVE)
    assert not any(isinstance(change, (CreateTable, DropTable)) for change in plan.changes)
    assert case.values("crm_author", "id", "name") == [(1, "a"), (2, "b")]
    assert case.values("crm_author_tags", "author_id", "tag_id") == [(2, 1)]
    assert case.values("crm_author_friends", "from_author_id", "to_author_id") == [(1, 2)]
    assert case.values("shop_page", "writer_id") == [(2,)]
    assert after["Author"]._base_manager.using(case.alias).create(name="c").pk == 3


def test_move_with_another_name(case):
    after = state("crm", "Writer")
    case.update(state("books"), after, ROWS, renames={"books.Author": "crm.Writer"})
    assert case.values("crm_writer_friends", "from_writer_id", "to_writer_id") == [(1, 2)]


def test_move_of_a_model_and_its_field(case):
    after = state("crm", field="label")
    case.update(state("books"), after, ROWS, renames={**MOVE, "books.Author.name": "label"})
    assert case.values("crm_author", "label") == [("a",), ("b",)]


@pytest.mark.parametrize("stays", [True, False], ids=["installed", "uninstalled"])
def test_old_table_with_a_name_of_its_own_is_found_by_the_record(case, stays):
    before, after = state("books", table="people", stays=stays), state("crm", stays=stays)
    case.run(before)
    case.update(before, after, ROWS, built=True, renames=MOVE)
    assert case.values("crm_author_tags", "author_id", "tag_id") == [(2, 1)]


def test_table_of_the_same_name_in_both_stays(case):
    before, after = state("books", table="people"), state("crm", table="people")
    case.update(before, after, ROWS, changes=[], renames=MOVE)
    assert is_actual(using=case.alias, apps=after.apps)


def test_hint_next_to_the_model(case):
    after = state("crm", former_names={"Author": "books.Author"})
    case.run(state("books"))
    case.insert(state("books"), ROWS)
    assert not is_actual(using=case.alias, apps=after.apps)
    case.run(after)
    assert case.values("crm_author", "name") == [("a",), ("b",)]
    (note,) = case.run(after).notes
    assert note.startswith('The hint "books.Author" for crm.Author has nothing left to do')


def test_both_tables_are_an_error(case):
    case.build(state("books"))
    case.insert(state("books"), {"Author": ROWS["Author"]})
    case.build(state("crm"))
    with pytest.raises(AutomigrateError, match="table books_author to table crm_author: both are there"):
        case.plan(state("crm"), renames=MOVE)


@pytest.mark.parametrize("stays", [True, False], ids=["installed", "uninstalled"])
def test_move_is_guessed(case, stays):
    before, after = state("books", stays=stays), state("crm", stays=stays)
    case.run(before)
    case.insert(before, ROWS)
    plan = case.plan(after)
    assert [rename.option for rename in plan.likely_renames] == ["books.Author=crm.Author"]
    assert "Was model books.Author moved to crm.Author? Then pass --rename books.Author=crm.Author." in str(plan)
    case.run(after, renames={plan.likely_renames[0].old: plan.likely_renames[0].new})
    case.assert_settled(after)


def test_model_of_another_app_with_other_fields_is_no_guess(case):
    before = State(Author={"name": NAME, "Meta": {"app_label": "books"}})
    case.run(before)
    after = State(Author={"title": NAME, "Meta": {"app_label": "crm"}})
    assert case.plan(after).likely_renames == ()


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ({"books.Author": "crm.Autor"}, "--rename books.Author=crm.Autor: no such .* Did you mean 'crm.Author'?"),
        ({"books.Author": "cmr.Author"}, "Did you mean 'crm.Author'?"),
        ({"shop.Tags": "Tagg"}, "Did you mean 'Tag'?"),
        ({"crm.Autor.title": "name"}, "Did you mean 'crm.Author'?"),
        ({"crm.Author.title": "nmae"}, "crm.Author has no field 'nmae'. Did you mean 'name'?"),
        ({"crm_author.title": "nmae"}, "have no column 'nmae' in crm_author. Did you mean 'name'?"),
        ({"authors": "crm_autor"}, "Did you mean 'crm_author'?"),
        ({"crm_autor.title": "name"}, "Did you mean 'crm_author'?"),
        ({"x.Y": "z.Unlike"}, "Write app.Model=NewModel, app.Model=newapp.Model"),
    ],
)
def test_typo_in_a_rename_has_one_guess(case, rename, words):
    with pytest.raises(AutomigrateError, match=words.replace(".", r"\.").replace(r" \.*", " .*").replace("?", r"\?")):
        case.plan(state("crm"), renames=rename)


@pytest.mark.parametrize("stays", [True, False], ids=["installed", "uninstalled"])
def test_typo_in_the_old_model_has_one_guess(case, stays):
    case.run(state("books", stays=stays))
    plan = case.plan(state("crm", stays=stays), renames={"book.Author": "crm.Author"})
    assert any(note.endswith("nor crm_author. Did you mean 'books.Author'?") for note in plan.notes)


def test_typo_in_the_old_field_has_one_guess(case):
    case.run(State(Item={"title": NAME}))
    plan = case.plan(
        State(Item={"name": models.CharField(max_length=20, null=True)}), renames={"shop.Item.titel": "name"}
    )
    assert any(note.endswith("nor shop_item.name. Did you mean 'title'?") for note in plan.notes)
