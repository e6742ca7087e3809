"""Refusals show the values that are in the way beside the keys of their rows, and nothing of what looks secret."""

import datetime
import json
import re
from pathlib import Path

import pytest
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.test.utils import CaptureQueriesContext

from automigrate_ext import DatabasesFailed, Plans, Refused, conf, startup
from automigrate_ext.fleet.work import reason_of
from tests.acceptance.helper import Case, State, item
from tests.features import need
from tests.plan_shape import assert_shape

TEXT = models.CharField(max_length=100)
NUMBER = models.IntegerField(null=True)


@pytest.fixture
def case(connection):
    return Case(connection, "automigrate")


def hazard_of(case, before, after, code, *rows):
    plan = case.refused(before, after, {"Item": list(rows)}, code)
    assert_shape(plan)
    return next(hazard for judgement in plan.refused for hazard in judgement.hazards if hazard.code == code)


def checked(condition, **fields):
    return item(**fields, Meta={"constraints": [models.CheckConstraint(condition=condition, name="c")]})


def test_duplicates_stand_together(case):
    rows = [{"name": "a@b.c"}, {"name": "x"}, {"name": "it's"}, {"name": "a@b.c"}, {"name": "it's"}]
    after = item(name=models.CharField(max_length=100, unique=True))
    hazard = hazard_of(case, item(name=TEXT), after, "duplicates", *rows)
    assert hazard.examples == "id 1, 4: name='a@b.c'; 3, 5: name=\"it's\""
    assert hazard.columns == ("name",)
    assert hazard.values == (("a@b.c",), ("it's",), ("a@b.c",), ("it's",))


def test_duplicates_of_several_columns(case):
    fields = {"name": TEXT, "size": NUMBER, "day": models.DateField()}
    unique = models.UniqueConstraint(fields=["name", "size", "day"], name="u")
    row = {"name": "a", "size": 7, "day": datetime.date(2024, 5, 6)}
    hazard = hazard_of(case, item(**fields), item(**fields, Meta={"constraints": [unique]}), "duplicates", row, row)
    assert hazard.examples.replace("'2024-05-06'", "2024-05-06") == "id 1, 2: name='a', size=7, day=2024-05-06"


def test_duplicates_of_an_expression_show_the_columns(case):
    need(case.connection, "expression indexes")
    unique = models.UniqueConstraint(Lower("name"), name="u")
    after = item(name=TEXT, Meta={"constraints": [unique]})
    hazard = hazard_of(case, item(name=TEXT), after, "duplicates", {"name": "Ann"}, {"name": "ann"})
    assert hazard.examples == "id 1: name='Ann'; 2: name='ann'"


def test_violators_of_a_check(case):
    fields = {"name": TEXT, "size": NUMBER, "most": NUMBER}
    after = checked(Q(size__lte=F("most")), **fields)
    rows = [{"name": "a", "size": 7, "most": 3}, {"name": "b", "size": 1, "most": 3}]
    hazard = hazard_of(case, item(**fields), after, "violators", *rows)
    assert sorted(zip(hazard.columns, *hazard.values, strict=True)) == [("most", 3), ("size", 7)]
    assert "size=7" in str(hazard) and "most=3" in str(hazard)


def test_orphans(case):
    def state(**options):
        key = models.ForeignKey("shop.Parent", models.CASCADE, **options)
        return State(Parent={"name": TEXT}, Item={"parent": key})

    before = state(db_constraint=False)
    hazard = hazard_of(case, before, state(), "orphans", {"parent_id": 99})
    assert hazard.examples == "id 1: parent_id=99"


@pytest.mark.parametrize(
    ("new", "code"),
    [(models.CharField(max_length=3), "alters-values"), (models.IntegerField(), "cast-fails")],
    ids=["narrowing", "cast"],
)
def test_values_that_a_change_of_type_would_lose(case, new, code):
    need(case.connection, "every change")
    hazard = hazard_of(case, item(name=TEXT), item(name=new), code, {"name": "12"}, {"name": "four"})
    assert hazard.examples.removesuffix("") == "id 2: name='four'"


def test_long_values_are_cut(case):
    long = "x" * 39 + "\n" + "y" * 50
    after = item(name=models.CharField(max_length=100, unique=True))
    hazard = hazard_of(case, item(name=TEXT), after, "duplicates", {"name": long}, {"name": long})
    assert hazard.examples == f"id 1, 2: name='{'x' * 39}\\n...'"
    assert hazard.values[0] == ("x" * 39 + "\n...",)


def test_forty_characters_are_not_cut(case):
    after = item(name=models.CharField(max_length=100, unique=True))
    hazard = hazard_of(case, item(name=TEXT), after, "duplicates", {"name": "x" * 40}, {"name": "x" * 40})
    assert hazard.values[0] == ("x" * 40,)


def test_binary_values_are_shown_by_their_length(case):
    fields = {"data": models.BinaryField(max_length=200), "size": models.IntegerField()}
    after = checked(Q(size__gt=0) | Q(data__isnull=True), **fields)
    hazard = hazard_of(case, item(**fields), after, "violators", {"data": b"\xff\x00secret", "size": 0})
    assert "data=<8 bytes>" in str(hazard) and "size=0" in str(hazard)
    assert json.loads(json.dumps(case.plan(after).as_dict()))["changes"][-1]["hazards"][0]["values"][0].count(0) == 1


@pytest.mark.parametrize("column", ["password", "api_key", "userToken", "Card", "pin_code"])
def test_nothing_is_shown_of_what_looks_secret(case, column):
    fields = {"size": NUMBER, column: TEXT}
    unique = models.UniqueConstraint(fields=["size", column], name="u")
    row = {"size": 1, column: "hunter2"}
    hazard = hazard_of(case, item(**fields), item(**fields, Meta={"constraints": [unique]}), "duplicates", row, row)
    assert (hazard.samples, hazard.columns) == (((1,), (2,)), ("size",))
    assert hazard.examples == "id 1, 2: size=1"


def test_nothing_is_shown_of_a_secret_in_a_column_of_another_name(case):
    before = item(password=models.CharField(max_length=100, db_column="hash"))
    after = item(password=models.CharField(max_length=100, db_column="hash", unique=True))
    hazard = hazard_of(case, before, after, "duplicates", {"password": "hunter2"}, {"password": "hunter2"})
    assert (hazard.examples, hazard.columns, hazard.values) == ("id 1, 2", (), ())


@pytest.mark.parametrize(
    ("new", "code"),
    [(models.CharField(max_length=3), "alters-values"), (models.IntegerField(), "cast-fails")],
    ids=["narrowing", "cast"],
)
def test_the_servers_words_about_a_secret_are_not_shown(case, new, code):
    need(case.connection, "every change")
    plan = case.refused(item(token=TEXT), item(token=new), {"Item": [{"token": "hunter2"}]}, code)
    assert "hunter2" not in plan.as_json() + str(plan)


def test_nothing_is_shown_of_a_key_that_looks_secret(case):
    fields = {"session_key": models.CharField(max_length=20, primary_key=True), "size": NUMBER}
    after = item(**{**fields, "size": models.IntegerField(null=True, unique=True)})
    rows = [{"session_key": "abc", "size": 1}, {"session_key": "def", "size": 1}]
    hazard = hazard_of(case, item(**fields), after, "duplicates", *rows)
    assert (hazard.key, hazard.samples, hazard.values) == ((), (), ())


def test_logs_and_reports_have_the_keys_without_the_values(case, caplog):
    before, after = item(name=TEXT), item(name=models.CharField(max_length=100, unique=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a@b.c"}, {"name": "a@b.c"}]})
    with pytest.raises(Refused) as refused:
        case.run(after)
    assert "a@b.c" in str(refused.value) and "(id 1, 2: name='a@b.c')" in str(refused.value)
    assert "a@b.c" not in refused.value.without_values and "(id 1, 2)" in refused.value.without_values
    several = DatabasesFailed({case.alias: refused.value}, Plans())
    assert several.without_values == f"Database {case.alias!r}: {refused.value.without_values}"
    assert "(id 1, 2)" in caplog.text and "a@b.c" not in caplog.text
    assert "(id 1, 2)" in reason_of(refused.value.plan) and "a@b.c" not in reason_of(refused.value.plan)


def test_failed_start_logs_no_values(case, monkeypatch, caplog):
    before, after = item(name=TEXT), item(name=models.CharField(max_length=100, unique=True))
    case.build(before)
    case.insert(before, {"Item": [{"name": "a@b.c"}, {"name": "a@b.c"}]})
    monkeypatch.setattr(startup, "update_databases", lambda *args: case.run(after))
    startup.carry_out(conf.OnStart(verb="autoupdate", on_failure="log"), 0)
    assert "The server starts although autoupdate failed: Nothing was done" in caplog.text
    assert "(id 1, 2)" in caplog.text and "a@b.c" not in caplog.text


def test_the_setting_hides_more(case, settings):
    settings.AUTOMIGRATE = {"HIDE": ["name", "diagn*"]}
    assert conf.hides("last_name") and conf.hides("diagnosis_code") and not conf.hides("surname")
    after = item(name=models.CharField(max_length=100, unique=True))
    hazard = hazard_of(case, item(name=TEXT), after, "duplicates", {"name": "a"}, {"name": "a"})
    assert hazard.examples == "id 1, 2"


def test_the_setting_has_names_as_fields_have_them(settings):
    settings.AUTOMIGRATE = {"HIDE": ["bloodGroup", "*homeAddress", "Salary"]}
    names = ("bloodGroup", "blood_group", "oldBloodGroup", "theHomeAddress", "salary", "baseSalary")
    assert all(map(conf.hides, names)) and not conf.hides("group")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("password", "user_passwd", "apiKey", "api_key_id", "APIKEY", "ssn", "credit_card")],
        *[(name, True) for name in ("accessTokens", "client_secret", "pwd", "SessionKey", "card_number")],
        *[(name, False) for name in ("discard", "classname", "key", "shipping", "cardinality", "monkey_key", "name")],
    ],
)
def test_names_that_look_secret(name, secret):
    assert conf.hides(name) is secret


def test_the_reference_lists_the_words():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "verdicts.md").read_text()
    section = page.partition("### Values in messages\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith(("| passwords", "| keys", "| numbers"))]
    assert set(re.findall("`([^`]+)`", " ".join(rows))) == set(conf.SECRET)


def test_a_malformed_setting_hides_no_less(settings):
    settings.AUTOMIGRATE = {"HIDE": "name"}
    assert conf.hides("password")
    assert list(conf.problems()) == ["AUTOMIGRATE['HIDE'] has to be a list of names, and is 'name'."]


def test_examples_take_one_query(case):
    before = item(name=TEXT)
    case.build(before)
    case.insert(before, {"Item": [{"name": "a"}, {"name": "a"}]})
    with CaptureQueriesContext(case.connection) as captured:
        case.plan(item(name=models.CharField(max_length=100, unique=True)))
    assert sum("rows_alike" in query["sql"] for query in captured.captured_queries) == 1
