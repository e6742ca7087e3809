"""Select the models of a database by "todo", "todo.Todo", Todo or a list of these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as evolve
from typing import Any

from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.db import connections, router
from django.db.models import Model

from automigrate_ext.exceptions import UnknownModels
from automigrate_ext.words import did_you_mean

Label = str | type[Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The models of a run, auto-created many-to-many models after their owners.

    `everything` is set where no label was given; `app_labels` are the apps that were named as a whole, `labels` all
    labels that were given, or None. `elsewhere` are the models of the call's other databases, and `notes` list the
    named models among them. `twin` is an earlier alias of the call for the same database, whose run includes the
    models that both may have. `alone` is set where no other project has tables in the database.
    """

    alias: str
    apps: Apps
    models: tuple[type[Model], ...]
    everything: bool = False
    app_labels: frozenset[str] = frozenset()
    labels: tuple[str, ...] | None = None
    elsewhere: tuple[type[Model], ...] = ()
    notes: tuple[str, ...] = ()
    twin: str = ""
    alone: bool = False

    def covers(self, owner: str) -> bool:
        """Return whether a table that this model once declared, and no longer does, belongs to the run.

        Tables of apps that the registry does not have are left alone where another project may share the database.
        """
        app_label, _, _ = owner.partition(".")
        if self.twin:
            return False
        if self.everything:
            return self.alone or app_label in app_labels_of(self.apps)
        return app_label in self.app_labels or owner in {model._meta.label for model in self.models}


Models = Label | Iterable[Label] | None


def select(models: Models | Selection, alias: str, apps: Apps) -> Selection:
    """Select the named models of one database; a `Selection` is returned unchanged.

    Without labels these are all models that the routers allow in the database. Raises `UnknownModels` with
    every label that names no model, several models, or one that has no table there.
    """
    if isinstance(models, Selection):
        return models
    selection, problems = sort_out(models, alias, apps)
    forbid(problems, f"database {alias!r}")
    return selection


def select_each(wanted: Mapping[str, Models], apps: Apps) -> dict[str, Selection]:
    """Select the named models of each of several databases, by alias.

    A named model that belongs to another of the databases is left out with a note. Of several aliases for the same
    database, the first one gets the models that all of them may have. Raises `UnknownModels` with every label that is
    wrong for all the databases for which it is given.
    """
    sorted_out = {alias: sort_out(models, alias, apps) for alias, models in wanted.items()}
    problems = [problems for selection, problems in sorted_out.values()]
    kept = {label for selection, _ in sorted_out.values() for label in selection.labels or ()}
    wrong = {label: why for found in problems for label, why in found.items() if label not in kept}
    forbid(wrong, f"databases {', '.join(map(repr, wanted))}")
    selections: dict[str, Selection] = {}
    for alias, (selection, left_out) in sorted_out.items():
        notes = [f"{label} is left out of database {alias!r}: {problem.why}." for label, problem in left_out.items()]
        notes += [
            f"No model of {app_label} has its table in database {alias!r}."
            for app_label in sorted(selection.app_labels)
            if not any(model._meta.app_label == app_label for model in selection.models)
        ]
        selections[alias] = without_twins(evolve(selection, notes=tuple(notes)), selections)
    for alias, selection in selections.items():
        others = (model for other in selections.values() for model in other.models)
        elsewhere = [model for model in dict.fromkeys(others) if model not in selection.models]
        selections[alias] = evolve(selection, elsewhere=tuple(elsewhere))
    return selections


def without_twins(selection: Selection, before: Mapping[str, Selection]) -> Selection:
    """Return the selection without the models that an earlier alias for the same database has."""
    for alias, other in before.items():
        if not is_same_database(alias, selection.alias):
            continue
        shared = set(selection.models) & set(other.models)
        if shared:
            rest = tuple(model for model in selection.models if model not in shared)
            note = f"Database {selection.alias!r} is the same as {alias!r}, with which "
            note += "the models that both have are dealt with." if rest else "its models are dealt with."
            everything = selection.everything and bool(rest)
            notes = (*selection.notes, note)
            selection = evolve(selection, models=rest, everything=everything, notes=notes, twin=alias)
    return selection


#: The settings of a connection that decide to which database, and which tables in it, the names in SQL refer.
PLACE = ("ENGINE", "NAME", "USER", "HOST", "PORT", "OPTIONS")


def is_same_database(one: str, other: str) -> bool:
    """Return whether two aliases have the settings of one database; each database in memory is separate."""
    settings = [connections[alias].settings_dict for alias in (one, other)]
    if any(place["NAME"] == ":memory:" for place in settings):
        return False
    first, second = ([place.get(key) for key in PLACE] for place in settings)
    return first == second


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a label names no model of a database, in words; `hint` is a question with what may have been meant.

    `is_unknown` is set where nothing has the name.
    """

    why: str
    hint: str = ""
    is_unknown: bool = False

    def sentence(self, label: str, where: str) -> str:
        """Return the problem as a sentence; `where` names the databases."""
        if self.is_unknown:
            return f"There is no {self.why} {label!r}.{self.hint}"
        return f"{label} cannot be used in {where}: {self.why}."


def forbid(problems: Mapping[str, Problem], where: str) -> None:
    """Raise `UnknownModels` with the problems of all labels, if there are any."""
    if problems:
        sentences = " ".join(problem.sentence(label, where) for label, problem in problems.items())
        raise UnknownModels(f"{sentences} Nothing was done.")


def sort_out(models: Models, alias: str, apps: Apps) -> tuple[Selection, dict[str, Problem]]:
    """Return the selection of the named models, and the problems of labels that name none in this database."""
    attached = [model for model in models_of(apps) if is_attached(model, alias)]
    if models is None:
        return Selection(alias=alias, apps=apps, models=with_many_to_many(attached, alias), everything=True), {}
    chosen: dict[type[Model], None] = {}
    app_labels = set()
    kept: list[str] = []
    problems: dict[str, Problem] = {}
    labels: Iterable[Any] = (models,) if isinstance(models, (str, type)) else models
    for label in labels:
        name = written(label)
        if name in app_labels_of(apps):
            app_labels.add(name)
            chosen.update(dict.fromkeys(model for model in attached if model._meta.app_label == name))
        else:
            found = find(label, apps) if isinstance(label, (str, type)) else []
            problem = explain(label, found, alias, apps)
            if problem:
                problems[name] = problem
                continue
            chosen[found[0]] = None
        kept.append(name)
    selection = Selection(
        alias=alias,
        apps=apps,
        models=with_many_to_many(chosen, alias),
        app_labels=frozenset(app_labels),
        labels=tuple(kept),
    )
    return selection, problems


def written(label: Any) -> str:
    """Return the text of a label in messages."""
    if isinstance(label, type):
        model: Any = label
        return str(model._meta.label)
    return label if isinstance(label, str) else repr(label)


def models_of(apps: Apps) -> list[type[Model]]:
    """Return all models of a registry except those that Django made itself, swapped ones included."""
    return [model for model in registered(apps) if not model._meta.auto_created]


def registered(apps: Apps) -> list[type[Model]]:
    """Return all models of a registry, of the project's those that `migrate` has: the models of installed apps.

    Any model that is imported is in the project's registry, whether its app is installed or not, and apps may hide
    models of theirs. A registry made by hand may have no apps to ask.
    """
    if apps is global_apps:
        # As django.db.router.get_migratable_models() does: Apps.get_models() would return what was hidden since it was
        # first called.
        every = {"include_auto_created": True, "include_swapped": True}
        installed = {model for config in apps.get_app_configs() for model in config.get_models(**every)}
        return [model for of_app in apps.all_models.values() for model in of_app.values() if model in installed]
    return [model for of_app in apps.all_models.values() for model in of_app.values()]


def labels_from_nothing(selection: Selection, created: Collection[str]) -> list[str]:
    """Return the labels of the apps all of whose tables in the database are `created`.

    Apps without such models, whose tables are made by migrations or by themselves, are among them where all tables of
    all models are.
    """
    tables: defaultdict[str, set[str]] = defaultdict(set)
    elsewhere = set()
    for model in registered(selection.apps):
        if is_attached(model, selection.alias):
            tables[model._meta.app_label].add(model._meta.db_table)
        elif model._meta.managed and not model._meta.proxy:
            elsewhere.add(model._meta.app_label)
    from_nothing = {label for label, names in tables.items() if names <= set(created)}
    if selection.everything and from_nothing == tables.keys():
        from_nothing |= {
            label
            for label in selection.apps.app_configs.keys() - tables.keys() - elsewhere
            if router.allow_migrate(selection.alias, label)
        }
    return [label for label in selection.apps.app_configs if label in from_nothing]


def app_labels_of(apps: Apps) -> set[str]:
    """Return the labels of a registry's apps."""
    return {*apps.app_configs, *(() if apps is global_apps else apps.all_models)}


def is_attached(model: type[Model], alias: str) -> bool:
    """Return whether the model has a table of its own that is managed in the database."""
    return model._meta.can_migrate(connections[alias]) and router.allow_migrate_model(alias, model)


def with_many_to_many(models: Iterable[type[Model]], alias: str) -> tuple[type[Model], ...]:
    """Return the models, each followed by the many-to-many models that Django made for it."""
    selected: dict[type[Model], None] = {}
    for model in models:
        selected[model] = None
        for field in model._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if through._meta.auto_created and is_attached(through, alias):
                selected[through] = None
    return tuple(selected)


def find(label: Label, apps: Apps) -> list[type[Model]]:
    """Return the models that a label may refer to; the case of a model's name does not matter."""
    if not isinstance(label, str):
        same = (model for model in registered(apps) if model._meta.label == label._meta.label)
        return list(same) or [label]
    app_label, dot, name = label.rpartition(".")
    return [
        model
        for model in models_of(apps)
        if model._meta.model_name == name.lower() and (not dot or model._meta.app_label == app_label)
    ]


def explain(label: Any, found: Sequence[type[Model]], alias: str, apps: Apps) -> Problem | None:
    """Return the problem of a label, or None where it names one model of the database."""
    if not isinstance(label, (str, type)):
        return Problem(why="it is neither a label nor a model")
    if not found:
        return Problem(why="app or model", hint=did_you_mean(written(label), known_labels(apps)), is_unknown=True)
    if len(found) > 1:
        return Problem(why=f"it is ambiguous: {', '.join(sorted(model._meta.label for model in found))}")
    why = why_detached(found[0], alias)
    return Problem(why=why) if why else None


def known_labels(apps: Apps) -> list[str]:
    """Return all that a label may be: apps, models, and the names of models without their app."""
    models = models_of(apps)
    return [*(model.__name__ for model in models), *(model._meta.label for model in models), *apps.app_configs]


def why_detached(model: type[Model], alias: str) -> str:
    """Return the reason why a model has no managed table in the database, or "" where it has one."""
    opts = model._meta
    if opts.proxy:
        assert opts.concrete_model is not None
        return f"a proxy model; its table belongs to {opts.concrete_model._meta.label}"
    if not opts.managed:
        return "an unmanaged model"
    if opts.swapped:
        return f"swapped out for {opts.swapped}"
    if not opts.can_migrate(connections[alias]):
        return f"it requires a database with other features than {alias!r} has"
    if not router.allow_migrate_model(alias, model):
        return where_routed(model)
    return ""


def where_routed(model: type[Model]) -> str:
    """Return the databases to which the routers send a model, in words."""
    homes = [repr(alias) for alias in connections if router.allow_migrate_model(alias, model)]
    if not homes:
        return "the routers let it in no database"
    return f"routed to {'databases' if len(homes) > 1 else 'database'} {', '.join(homes)}"
