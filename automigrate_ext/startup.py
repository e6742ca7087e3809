"""Bring databases up to date when a server starts: by the setting ON_START, or by a verb at the end of wsgi.py.

The verbs are those of the package, made for a start: they wait for a database that is not up yet, log what they did,
work where an event loop runs, and leave no connection open to the processes that a server forks.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import asgi, wsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import Error

from automigrate_ext import conf
from automigrate_ext.api import on, rows_at_stake
from automigrate_ext.conf import OnStart
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.process import in_event_loop, is_migrating, is_testing, started_by
from automigrate_ext.run.one import is_one_actual, rebuild_one, update_one
from automigrate_ext.run.options import Options
from automigrate_ext.waiting import await_database
from automigrate_ext.words import plural

if TYPE_CHECKING:
    from automigrate_ext.plan.plan import Plan

logger = logging.getLogger("automigrate_ext")

NOT_STARTED = "The server does not start, because"
#: The exit status after which gunicorn (`Arbiter.WORKER_BOOT_ERROR`) and uvicorn (`STARTUP_FAILURE`) do not start a
#: worker again. After any other status, and after an exception, uvicorn tries for ever.
STARTUP_FAILURE = 3


# At the end of wsgi.py or asgi.py


def autoupdate(
    models: Sequence[str] | None = None,
    *,
    using: str | Sequence[str] = DEFAULT_DB_ALIAS,
    expand: bool = False,
    wait_for_db: float | None = None,
    on_failure: str = "stop",
) -> None:
    """Bring the tables of the models (labels; None for all) up to date before the server serves.

    With `expand` only what older code that still runs can live with is done; see `automigrate_ext.autoupdate`.
    `using` is an alias or several; `wait_for_db` is for how many seconds to wait for a database that cannot be
    reached, None being what the setting says. With `on_failure` "log" a failure is logged, and the server starts.
    With "stop" it is logged too, and `SystemExit` raised, with which servers give up.
    """
    start("expand" if expand else "autoupdate", models, using, wait_for_db, on_failure)


def automigrate(
    models: Sequence[str] | None = None,
    *,
    using: str | Sequence[str] = DEFAULT_DB_ALIAS,
    confirm: Sequence[str] = (),
    wait_for_db: float | None = None,
    on_failure: str = "stop",
) -> None:
    """Create the tables again where they do not match the models, and lose their rows; see `autoupdate`.

    Where DEBUG is off and rows would be lost, the start fails unless `confirm` has the name of the database.
    """
    start("automigrate", models, using, wait_for_db, on_failure, tuple(confirm))


def start(
    verb: str,
    models: Sequence[str] | None,
    using: str | Sequence[str],
    wait_for_db: float | None,
    on_failure: str,
    confirm: tuple[str, ...] = (),
) -> None:
    """Do the work of both verbs."""
    wanted = OnStart(
        verb=verb,
        models=None if models is None else tuple(models),
        databases=(using,) if isinstance(using, str) else tuple(using),
        confirm=confirm,
        on_failure=on_failure,
    )
    carry_out(wanted, conf.wait_for_db() if wait_for_db is None else wait_for_db)


# By the setting


class StartingWSGIHandler(WSGIHandler):
    """A WSGI application that brings the databases up to date before it is made."""

    def __init__(self) -> None:
        start_once()
        super().__init__()


class StartingASGIHandler(ASGIHandler):
    """An ASGI application that brings the databases up to date before it is made."""

    def __init__(self) -> None:
        start_once()
        super().__init__()


def install_handlers() -> None:
    """Make `get_wsgi_application` and `get_asgi_application` begin with what the setting asks for.

    Servers and `runserver` call these functions, and no other command of Django's does. Both set Django up before they
    look up the handler's class (django/core/wsgi.py, django/core/asgi.py), so that `AppConfig.ready` comes in time.
    The clients and live servers of tests make handlers of other classes, or import these from the modules that define
    them.
    """
    wsgi.WSGIHandler = StartingWSGIHandler  # type: ignore[attr-defined]
    asgi.ASGIHandler = StartingASGIHandler  # type: ignore[attr-defined]


_once = threading.Lock()
_started = False


def start_once() -> None:
    """Do what the setting asks for, unless this process has done so, or runs tests or migrations.

    Raises `SystemExit` where the setting is malformed, and where the work fails and the setting says to stop.
    """
    global _started
    with _once:
        if _started or is_testing() or is_migrating():
            return
        try:
            wanted = conf.on_start()
        except ValueError as error:
            log(logging.ERROR, f"{NOT_STARTED} of the settings: {error}")
            raise SystemExit(STARTUP_FAILURE) from error
        carry_out(wanted, conf.wait_for_db())
        _started = True


# The work


def carry_out(wanted: OnStart, wait_for_db: float) -> None:
    """Bring the databases up to date; log a failure, and stop the start by `SystemExit` or go on with it."""
    try:
        outside_of_loops(lambda: update_databases(wanted, wait_for_db))
    except (AutomigrateError, Error) as error:
        goes_on = wanted.on_failure == "log"
        words = error.without_values if isinstance(error, AutomigrateError) else error
        log(logging.ERROR, f"{'The server starts although' if goes_on else NOT_STARTED} {wanted.verb} failed: {words}")
        if not goes_on:
            raise SystemExit(STARTUP_FAILURE) from error


def outside_of_loops(work: Callable[[], None]) -> None:
    """Do the work in this thread, or in one of its own where an event loop runs, as when uvicorn imports asgi.py."""
    if not in_event_loop():
        return work()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(work).result()


def update_databases(wanted: OnStart, wait_for_db: float) -> None:
    """Run the verb on the databases, and close the connections that were opened for it."""
    aliases = wanted.databases
    opened = [alias for alias in aliases if connections[alias].connection is None]
    try:
        for alias in aliases:
            await_database(alias, wait_for_db, warn)
        verb = rebuild if wanted.verb == "automigrate" else update
        using = aliases[0] if len(aliases) == 1 else aliases
        with started_by("start"):
            on(using, wanted.models, None, lambda selection: logged(verb(selection, wanted)))
    finally:
        for alias in opened:
            close_connection(alias)


def update(selection: Selection, wanted: OnStart) -> Plan:
    """Run `autoupdate` on one database, or its expand."""
    options = Options(notify=warn, online=conf.online(selection.alias), expand=wanted.verb == "expand")
    return update_one(selection, options, dry_run=False)


def rebuild(selection: Selection, wanted: OnStart) -> Plan:
    """Run `automigrate` on one database that does not match; so the second of two workers finds nothing to do."""
    if is_one_actual(selection):
        # Every command of a project with ON_START loads this module.
        from automigrate_ext.plan.plan import Plan
        from automigrate_ext.schema.nouns import Schema

        return Plan(alias=selection.alias, vendor=connections[selection.alias].vendor, schema=Schema({}))
    name = str(connections[selection.alias].settings_dict["NAME"])
    if not settings.DEBUG and name not in wanted.confirm:
        forbid_losses(rows_at_stake(selection, using=selection.alias), name)
    return rebuild_one(selection, Options(notify=warn, unless_same=True), dry_run=False)


def forbid_losses(rows: dict[str, int], name: str) -> None:
    """Raise `AutomigrateError` where rows would be lost; `rows` are their numbers by table."""
    if rows:
        losses = f"{plural(sum(rows.values()), 'row')} of {plural(len(rows), 'table')}"
        raise AutomigrateError(
            f"{losses} would be lost by automigrate, and DEBUG is off. Nothing was done. Give the database's name "
            f"{name!r} in AUTOMIGRATE['ON_START']['CONFIRM'] (confirm=) if that is meant."
        )


def close_connection(alias: str) -> None:
    """Close a connection and its pool, which a forked process must not share."""
    connection: Any = connections[alias]
    connection.close()
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close_pool()


# Logging


def logged(plan: Plan) -> Plan:
    """Print on stderr, a server's own log, what was done, where the project has no handler for it; return the plan."""
    if plan.judgements and not logger.hasHandlers():
        # As in `rebuild`.
        from automigrate_ext.plan import text

        print(text.report(plan), file=sys.stderr, flush=True)
    return plan


def warn(message: str) -> None:
    """Log what a start waits for."""
    log(logging.WARNING, message)


def log(level: int, message: str) -> None:
    """Log a message, or print it on stderr, a server's own log, where the project has no handler."""
    if logger.hasHandlers():
        logger.log(level, message)
    else:
        print(message, file=sys.stderr, flush=True)
