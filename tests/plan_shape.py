"""The JSON Schema of plans that the package brings, made strict: no key that it does not describe."""

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from automigrate_ext import Plan

SCHEMA = json.loads((files("automigrate_ext") / "plan.schema.json").read_text())


def strict(schema: Any) -> Any:
    """The schema with every object closed whose keys it lists."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return (
        {**closed, "additionalProperties": False}
        if schema.get("type") == "object" and "properties" in schema
        else closed
    )


VALIDATOR = Draft202012Validator(SCHEMA)
STRICT = Draft202012Validator(strict(SCHEMA))


def assert_shape(plan: Plan) -> None:
    """The plan's JSON is as the schema says, and has nothing more."""
    STRICT.validate(json.loads(plan.as_json()))
