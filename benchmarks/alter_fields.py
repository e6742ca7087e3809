"""Change the types of three columns by three of Django's AlterField operations, in one transaction."""

import django
from django.apps import apps
from django.db import connection, migrations
from django.db.migrations.state import ModelState, ProjectState

APP = "generated"


def main() -> None:
    django.setup()
    from generated import changes

    state = ProjectState()
    for model in apps.get_app_config(APP).get_models():
        state.add_model(ModelState.from_model(model))
    with connection.schema_editor() as editor:
        for column, field in changes.AFTER.items():
            operation = migrations.AlterField("measurement", column, field)
            old = state.clone()
            operation.state_forwards(APP, state)
            operation.database_forwards(APP, editor, old, state)


if __name__ == "__main__":
    main()
