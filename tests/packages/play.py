"""Play one half of a case in the project of the working directory: before the change of its models, or after it.

`default` is the database that is migrated with the models of before, then updated; `fresh` is made by a run, and `made`
by the migrations. The arguments are the half, code to run, and as JSON the changes that no migration knows of.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace as evolve

import django

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "project"
django.setup()

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402

from automigrate_ext import autoupdate, is_actual, make_plan  # noqa: E402
from automigrate_ext.backends import backend_for  # noqa: E402
from automigrate_ext.schema.nouns import Schema, canonical  # noqa: E402


def assert_differs(alias: str, expected: Sequence[str] = ()) -> None:
    """Check what `autoupdate --check` finds, in both of the ways in which it is found out."""
    described = (judgement.change.describe() for judgement in make_plan(using=alias).judgements)
    changes = [text.replace(" using btree", "") for text in described]
    assert changes == list(expected), f"{alias}: {'; '.join(changes)}"
    assert is_actual(using=alias) == (not expected), alias


def run(text: str) -> None:
    """Run code that has the models of the app by their names."""
    exec(text, {model.__name__: model for model in apps.get_app_config("shop").get_models()})


def schema(alias: str) -> object:
    """Return the tables of all models, in a form that compares.

    The key of a many-to-many table has the type that the project chooses or that migrations chose: both are kept.
    """
    models = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]
    automatic = {m._meta.db_table for m in models if m._meta.auto_created}
    tables = {table.name: table for table in backend_for(alias).introspect(sorted(m._meta.db_table for m in models))}
    for name in automatic:
        columns = (evolve(c, type="any") if c.name == "id" else c for c in tables[name].columns)
        tables[name] = evolve(tables[name], columns=tuple(columns))
    return json.loads(json.dumps(canonical(Schema(tables)), default=str))


def main(half: str, code: str, unmigrated: str) -> None:
    call_command("makemigrations", "shop", verbosity=0)
    if half == "before":
        call_command("migrate", verbosity=0)
        run(code)
        assert_differs("default", json.loads(unmigrated))
        # The record tells what goes later from what was made by hand, where a package has names of its own.
        autoupdate()
        assert_differs("default")
        return
    autoupdate()
    assert_differs("default")
    run(code)
    autoupdate(using="fresh")
    assert_differs("fresh")
    call_command("migrate", database="made", verbosity=0)
    assert_differs("made", json.loads(unmigrated))
    autoupdate(using="made")
    print(json.dumps({alias: schema(alias) for alias in ("default", "fresh", "made")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
