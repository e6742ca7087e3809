"""Names with marks in them: they are quoted where Django can quote them, and refused where it cannot."""

import pytest
from django.db import models

from automigrate_ext import AutomigrateError, Refused, automigrate, autoupdate, is_actual, make_plan
from tests.acceptance.helper import State
from tests.features import is_generic

NAME = models.CharField(max_length=20)


def mark_of(connection):
    return connection.ops.quote_name("x")[0]


@pytest.fixture
def route():
    """The tables come to be in one way: a name does not depend on it."""
    return "automigrate"


@pytest.mark.parametrize("verb", [make_plan, is_actual, autoupdate, automigrate])
@pytest.mark.parametrize("name", ["tqu{}ote", "{}tquote", "tquote{}", "{0}a{0}b{0}"])
def test_name_with_the_mark_of_quotes_refused(connection, name, verb):
    name = name.format(mark_of(connection))
    states = {
        "table of shop.Item": State(Item={"name": NAME, "Meta": {"db_table": name}}),
        "table of shop.Item_tags": State(
            Item={"tags": models.ManyToManyField("Tag", db_table=name)}, Tag={"name": NAME}
        ),
        "column of shop.Item.name": State(Item={"name": models.CharField(max_length=20, db_column=name)}),
    }
    for words, state in states.items():
        with pytest.raises(AutomigrateError, match=f"{words} has a .*Give it another name"):
            verb(using=connection.alias, apps=state.apps)
        assert connection.introspection.table_names() == []


def test_other_marks_in_names(case):
    if is_generic(case.connection):
        pytest.skip("other databases have rules of their own")
    other = "`" if mark_of(case.connection) == '"' else '"'

    def state(**fields):
        note = {**fields, "Meta": {"db_table": "it's"}}
        return State(Item={"name": NAME, "Meta": {"db_table": f"tqu{other}ote"}}, Note=note)

    up = models.ForeignKey("Item", models.CASCADE, null=True, db_column="u'p")
    case.build(state(up=up))
    assert autoupdate(using=case.alias, apps=state(up=up, more=models.IntegerField(default=1)).apps)
    assert is_actual(using=case.alias, apps=state(up=up, more=models.IntegerField(default=1)).apps)


def test_keys_that_are_no_text_are_shown(lite):
    def state(**fields):
        return State(Item={"code": models.CharField(max_length=20, primary_key=True), **fields})

    before, after = state(size=models.IntegerField(null=True)), state(size=models.IntegerField())
    lite.build(before)
    lite.execute("INSERT INTO shop_item (code) VALUES (CAST(x'61ff62' AS TEXT)), ('good')")
    plan = lite.plan(after)
    assert plan.refused[0].hazards[0].samples == (("a\ufffdb",), ("good",))
    with pytest.raises(Refused, match="a\ufffdb"):
        lite.run(after)
    unique = state(size=models.IntegerField(null=True, unique=True))
    lite.execute("UPDATE shop_item SET size = 1")
    assert "a\ufffdb" in str(lite.plan(unique).as_dict())
    # Whoever else reads the connection gets no altered texts.
    assert lite.connection.connection.text_factory is str
