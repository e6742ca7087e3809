"""The codes of hazards are those of the reference, and of the published shape of a plan."""

import json
import re

import pytest

from automigrate_ext import Hazard, Judgement, Verdict
from automigrate_ext.plan.codes import HazardCode
from automigrate_ext.plan.plan import judgement_dict
from automigrate_ext.schema.changes import RenameTable
from tests.demo import ROOT
from tests.documents import sections


def documented():
    verdicts = sections(ROOT / "docs" / "reference" / "verdicts.md")
    return re.findall(r"^\| `([a-z-]+)` \|", verdicts["Hazards"], re.MULTILINE)


def test_reference_lists_every_code_once():
    assert sorted(documented()) == sorted(map(str, HazardCode))


def test_name_of_a_code_is_its_text():
    assert {code.name for code in HazardCode} == {code.value.upper().replace("-", "_") for code in HazardCode}


def test_shape_of_a_plan_names_only_codes_that_exist():
    shape = json.loads((ROOT / "automigrate_ext" / "plan.schema.json").read_text())["$defs"]["hazard"]["properties"][
        "code"
    ]
    assert shape["type"] == "string"
    assert set(shape.get("enum", HazardCode)) == set(HazardCode)
    example = re.search(r"such as ([a-z-]+)\.", shape["description"])
    assert example and example[1] in set(HazardCode)


@pytest.mark.parametrize("code", HazardCode)
def test_code_in_plain_values_is_plain_text(code):
    hazard = Hazard(code=code, message="It hurts.")
    judgement = Judgement(change=RenameTable(table="t", new_name="u"), verdict=Verdict.REFUSE, hazards=(hazard,))
    (plain,) = judgement_dict(judgement)["hazards"]
    assert type(plain["code"]) is str
    assert json.dumps(plain["code"]) == f'"{code.value}"'
