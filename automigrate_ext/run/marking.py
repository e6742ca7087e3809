"""Mark migrations as applied in databases whose tables runs have made, so that Django takes none for unapplied.

`runserver`, `createsuperuser`, `showmigrations` and `migrate` go by the table django_migrations alone. Where no
migration has ever been run, and a run of this package has made sure that an app's tables match the models, what the
app's migrations on disk would do to tables is done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.apps import apps as global_apps
from django.conf import settings
from django.db import router, transaction
from django.db.utils import Error

from automigrate_ext import conf
from automigrate_ext.backends.fingerprint import short
from automigrate_ext.declared.selection import Selection, is_attached, labels_from_nothing, registered
from automigrate_ext.run import migrations
from automigrate_ext.run.migrations import MigrationKey
from automigrate_ext.run.options import Options
from automigrate_ext.run.record_table import TABLE as RECORD_TABLE
from automigrate_ext.run.record_table import RecordTable
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from django.db.migrations import Migration
    from django.db.migrations.loader import MigrationLoader

    from automigrate_ext.backends.base import Backend

#: The name of the note in databases in which a run has marked migrations unasked: later ones are marked too.
NOTE = "marks migrations"
#: What is reported of migrations that only `migrate` or the user can answer for.
HELD = (
    "{count} not marked as applied, because of what {names} {verb} besides changing tables: `migrate` runs that, and "
    "--record-migrations marks all of them as applied without running them."
)
#: What is reported where the migrations of the project cannot be read.
UNREADABLE = (
    "No migration was marked as applied, because those on disk cannot be read ({error}). Mend or remove the file; "
    'AUTOMIGRATE["RECORD_MIGRATIONS"] = False has them left alone.'
)


def is_wanted(selection: Selection, options: Options) -> bool:
    """Return whether a run marks migrations although its caller does not say so.

    Other registries than the project's have no migrations on disk, and test databases are given them in a way of their
    own.
    """
    is_unsaid = options.record_migrations is None and options.looks_at_migrations
    return is_unsaid and selection.apps is global_apps and conf.record_migrations() is not False


def is_owed(selection: Selection, options: Options, settled: Mapping[str, str]) -> bool:
    """Return whether a run may have migrations to mark: `settled` is what an earlier one had settled, by app."""
    if not is_wanted(selection, options):
        return False
    return any(settled.get(label) != digest for label, digest in digests(selection).items())


def digests(selection: Selection) -> dict[str, str]:
    """Return a digest of the names of the migrations on disk, by app; of the apps that a run deals with as a whole."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for label, name in on_disk(selection):
        names[label].append(name)
    return {label: short(sorted(of_app)) for label, of_app in names.items()}


def on_disk(selection: Selection) -> frozenset[MigrationKey]:
    """Return the migrations on disk of the apps that a run deals with as a whole."""
    labels = whole_apps(selection)
    return frozenset(key for key in migrations.on_disk(settings.MIGRATION_MODULES) if key[0] in labels)


def whole_apps(selection: Selection) -> frozenset[str]:
    """Return the labels of the apps with models all of whose tables in the database are those of a selection.

    An app that has models but no tables in the database is among them where everything is selected. One without models
    is not: whatever its migrations do, no run has done it.
    """
    selected = {model._meta.db_table for model in selection.models}
    tables: defaultdict[str, set[str]] = defaultdict(set)
    for model in registered(selection.apps):
        mine = tables[model._meta.app_label]
        if is_attached(model, selection.alias):
            mine.add(model._meta.db_table)
    return frozenset(
        label for label, mine in tables.items() if (mine or selection.everything) and mine.issubset(selected)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The migrations that are to be marked as applied, and what is known of the others.

    `held` are those that do more than change tables, where rows may be there, and `waiting` those that depend on them.
    `settled` has the digests of the apps with nothing left, and `error` is why nothing can be read.
    """

    keys: tuple[MigrationKey, ...] = ()
    held: tuple[MigrationKey, ...] = ()
    waiting: tuple[MigrationKey, ...] = ()
    settled: Mapping[str, str] = field(default_factory=dict)
    loaded: Mapping[MigrationKey, Migration] = field(default_factory=dict)
    error: str = ""

    def report(self, extensions: Collection[str] | None) -> Iterator[str]:
        """Yield in words what is marked, and what is not."""
        if self.error:
            yield UNREADABLE.format(error=self.error)
        if self.keys:
            yield migrations.describe(self.keys, self.loaded, extensions)
        if self.held:
            yield HELD.format(
                count=plural(len(self.held) + len(self.waiting), "migration"),
                names=", ".join(map(".".join, self.held)),
                verb="does" if len(self.held) == 1 else "do",
            )


class Marking:
    """Marks migrations at the end of one run; `extensions` are those that runs make, as in `coded_operations`."""

    def __init__(self, backend: Backend, selection: Selection, options: Options) -> None:
        self.backend = backend
        self.selection = selection
        self.options = options
        self.record = RecordTable(selection.alias)
        #: What the last look at the migrations has settled: see `Marks`.
        self.settled: Mapping[str, str] = {}

    @cached_property
    def is_wanted(self) -> bool:
        """Whether the run marks migrations unasked."""
        return is_wanted(self.selection, self.options)

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digests of the migrations on disk, by app."""
        return digests(self.selection)

    def has_table(self) -> bool:
        """Return whether Django's record of migrations exists where this connection makes tables."""
        return bool(self.backend.existing([migrations.TABLE]))

    def make_table(self) -> None:
        """Make Django's record of migrations where a mark will need it: later it would look like a change.

        Where the role may not make it, `mark` reports that.
        """
        if self.is_wanted and self.digests and not self.has_table():
            self.attempt(lambda: migrations.create_table(self.backend))

    def look(self, created: Collection[str], extensions: Collection[str] | None) -> Marks:
        """Return what is to be marked, once tables match the models; `created` are those that the run has made."""
        if not self.is_wanted:
            return Marks()
        wanted = on_disk(self.selection)
        applied = migrations.applied(self.selection.alias) if wanted and self.has_table() else frozenset()
        if wanted <= applied or not self.is_ours(applied):
            return Marks(settled=self.digests)
        # All migrations are imported, and few runs come here.
        from django.db.migrations.loader import MigrationLoader

        try:
            loader = MigrationLoader(self.backend.connection, ignore_no_migrations=True)
        except Error:
            raise
        except Exception as error:
            # The tables are as they should be, whatever is wrong with files that the run does not need.
            return Marks(error=f"{type(error).__name__}: {' '.join(str(error).split())}")
        fresh = {*labels_from_nothing(self.selection, created), *self.not_let_in()}
        fresh |= set(self.digests) if conf.record_migrations() else set()
        return self.sort_out(loader, applied, fresh, extensions)

    def is_ours(self, applied: Collection[MigrationKey]) -> bool:
        """Return whether no migration was run in the database before runs of this package began to mark them."""
        if conf.record_migrations() or not applied:
            return True
        return bool(self.backend.existing([RECORD_TABLE])) and bool(self.record.read_notes(NOTE)[NOTE])

    def not_let_in(self) -> Iterator[str]:
        """Yield the apps whose migrations do nothing in the database, as the routers have it."""
        return (label for label in self.digests if not router.allow_migrate(self.selection.alias, label))

    def sort_out(
        self,
        loader: MigrationLoader,
        applied: Collection[MigrationKey],
        fresh: Collection[str],
        extensions: Collection[str] | None,
    ) -> Marks:
        """Sort the migrations on disk that are not applied; those of `fresh` apps have no rows to work on.

        None is marked before those that it depends on, as Django demands of its record
        (`MigrationLoader.check_consistent_history`). A squashed one is applied with all that it replaces.
        """
        done: set[MigrationKey] = set(loader.applied_migrations)
        keys: dict[MigrationKey, None] = {}
        held, waiting = [], []
        for key in in_order(loader.graph):
            if key in done or key[0] not in self.digests:
                continue
            migration = loader.graph.nodes[key]
            if not {parent.key for parent in loader.graph.node_map[key].parents} <= done:
                waiting.append(key)
            elif key[0] not in fresh and migrations.coded_operations(key, migration, extensions):
                held.append(key)
            else:
                keys.update(dict.fromkeys((key, *map(tuple, migration.replaces))))
                done.add(key)
        of_squashed = (key for key, migration in loader.replacements.items() if done.issuperset(migration.replaces))
        keys.update(dict.fromkeys(key for key in of_squashed if key[0] in self.digests))
        unsettled = {label for label, _ in (*held, *waiting)}
        return Marks(
            keys=tuple(key for key in keys if key not in applied),
            held=tuple(held),
            waiting=tuple(waiting),
            settled={label: digest for label, digest in self.digests.items() if label not in unsettled},
            loaded=loader.disk_migrations,
        )

    def mark(self, marks: Marks, extensions: Collection[str] | None, notify: Callable[[str], None]) -> bool:
        """Mark migrations as applied, and note that the database is one in which that is done.

        `notify` is called with what is marked, with what is not, and with what a role may not do. Returns whether
        something was marked.
        """
        self.settled = marks.settled
        forbidden = self.attempt(lambda: self.write(marks.keys)) if marks.keys else ""
        for line in (forbidden,) if forbidden else marks.report(extensions):
            notify(line)
        return bool(marks.keys) and not forbidden

    def write(self, keys: Collection[MigrationKey]) -> None:
        """Write the marks, and the note."""
        migrations.record(self.backend, keys)
        self.record.write_note(NOTE, "yes")

    def attempt(self, work: Callable[[], None]) -> str:
        """Write to Django's record; return in words what a role may not do, "" where that succeeds.

        The tables are as they should be, so that this is no reason to undo the run.
        """
        alias = self.selection.alias
        try:
            with transaction.atomic(using=alias) if self.backend.undoes_ddl else nullcontext():
                work()
        except Error as error:
            if not self.backend.faults.is_forbidden(error):
                raise
            words, advice = self.backend.faults.explain(error), self.backend.faults.advice(error)
            return f"No migration was marked as applied: {words}. {advice}".strip()
        return ""


def in_order(graph: Any) -> Iterable[MigrationKey]:
    """Return all migrations of a graph, each once and after those that it depends on."""
    return dict.fromkeys(key for leaf in graph.leaf_nodes() for key in graph.forwards_plan(leaf))
