"""Schemas of one database with the same models, and what every case of a run over them has to show."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections, models

from automigrate_ext import FleetReport, Target, TargetsFailed, autoupdate, is_actual, make_plan
from automigrate_ext.backends import backend_for
from automigrate_ext.fleet.places import at, quoted
from automigrate_ext.schema.nouns import canonical
from tests.acceptance.helper import Case, State, create_models

NAMES = ("acme", "beta", "core", "delta")
RECORD = """
SELECT name, owner, objects_owned FROM automigrate_ext_owned
WHERE owner <> '' OR (name NOT LIKE 'fingerprint %' AND name NOT LIKE 'run %') ORDER BY name
"""
NAME = models.CharField(max_length=20)


def before() -> State:
    return State(Shelf={"name": NAME}, Item={"name": NAME, "shelf": models.ForeignKey("Shelf", models.CASCADE)})


def after() -> State:
    return State(
        Shelf={"name": NAME, "size": models.IntegerField(null=True, db_index=True)},
        Item={
            "name": NAME,
            "shelf": models.ForeignKey("Shelf", models.CASCADE),
            "price": models.IntegerField(default=3),
        },
        Label={"text": models.CharField(max_length=9, unique=True), "item": models.ForeignKey("Item", models.CASCADE)},
    )


class Fleet:
    """Schemas of a PostgreSQL database."""

    def __init__(self, connection: Any, names: Sequence[str] = NAMES) -> None:
        self.connection = connection
        self.alias = connection.alias
        self.names = tuple(names)
        self.case = Case(connection, "autoupdate")
        self.case.execute(*(f"CREATE SCHEMA {quoted(name)}" for name in names))

    @property
    def targets(self) -> list[Target]:
        return [self.target(name) for name in self.names]

    def target(self, name: str, **fields: Any) -> Target:
        return Target(name=name, alias=self.alias, schema=name, **fields)

    def build(self, state: State) -> None:
        """Make the tables of the state in all schemas, as Django does."""
        for target in self.targets:
            with at(target) as connection:
                create_models(connection, state.managed())

    def fill(self, state: State, rows: int = 2) -> None:
        """Put rows into all schemas, with other values in each."""
        for target in self.targets:
            with at(target):
                for number in range(rows):
                    shelf = state["Shelf"]._base_manager.using(self.alias).create(name=f"{target.name} {number}")
                    state["Item"]._base_manager.using(self.alias).create(name=f"{number} {target.name}", shelf=shelf)

    def rows(self, table: str, *columns: str) -> dict[str, list[tuple[Any, ...]]]:
        """The values of columns in each of the schemas."""
        found = {}
        for target in self.targets:
            with at(target):
                found[target.name] = self.case.values(table, *columns)
        return found

    def update(self, state: State, targets: Sequence[Target] | None = None, **options: Any) -> FleetReport:
        return autoupdate(targets=self.targets if targets is None else targets, apps=state.apps, **options)

    def update_and_fail(self, state: State, **options: Any) -> FleetReport:
        try:
            report = self.update(state, **options)
        except TargetsFailed as failed:
            return failed.report
        raise AssertionError(f"nothing failed: {report}")

    def statuses(self, report: FleetReport) -> Mapping[str, str]:
        return {name: str(outcome.status) for name, outcome in report.outcomes.items()}

    def assert_settled(self, state: State, names: Sequence[str] | None = None) -> None:
        """Each schema is what a fresh build of the state is, with the same record, and nothing is left to do."""
        fresh = self.fresh(state)
        records = set()
        targets = [self.target(name) for name in names or self.names]
        for target in targets:
            with at(target):
                assert canonical(backend_for(self.alias).introspect(state.tables())) == fresh, target.name
                assert is_actual(using=self.alias, apps=state.apps, fingerprint=False), target.name
                records.add(tuple(self.case.query(RECORD)))
        assert len(records) == 1
        assert is_actual(targets=targets, apps=state.apps)
        assert not make_plan(targets=targets, apps=state.apps)

    def fresh(self, state: State) -> Any:
        """What a fresh build of the state is."""
        self.case.execute('CREATE SCHEMA "fresh build"')
        with at(self.target("fresh build")) as connection:
            create_models(connection, state.managed())
            found = canonical(backend_for(self.alias).introspect(state.tables()))
        self.case.execute('DROP SCHEMA "fresh build" CASCADE')
        return found

    def queries(self, run: Any) -> list[str]:
        """The statements of a run."""
        sent = []

        def listen(execute, sql, params, many, context):
            sent.append(sql)
            return execute(sql, params, many, context)

        with connections[self.alias].execute_wrapper(listen):
            run()
        return sent
