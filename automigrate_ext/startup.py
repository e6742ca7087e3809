"""Bring databases up to date when a server starts: by the setting ON_START, or by a verb at the end of wsgi.py.

The verbs are those of the package in the dress of a start: they wait for a database that is not up yet, say what they
did, work where an event loop runs, and leave no connection to the processes that a server forks.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.core import asgi, wsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import Error

from automigrate_ext import conf
from automigrate_ext.api import is_one_actual, on, rebuild_one, rows_at_stake, update_one
from automigrate_ext.conf import OnStart
from automigrate_ext.declared.selection import Selection
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.plan import text
from automigrate_ext.plan.plan import Plan
from automigrate_ext.process import in_event_loop, is_migrating, is_testing
from automigrate_ext.run.options import Options
from automigrate_ext.schema.changes import plural
from automigrate_ext.schema.nouns import Schema
from automigrate_ext.waiting import await_database

logger = logging.getLogger("automigrate_ext")

NOT_STARTED = "The server does not start, because"
#: The exit status by which a worker tells gunicorn (`Arbiter.WORKER_BOOT_ERROR`) and uvicorn (`STARTUP_FAILURE`) that
#: starting it again is of no use. After any other one, and after an exception, uvicorn tries for ever.
STARTUP_FAILURE = 3


# At the end of wsgi.py or asgi.py


def autoupdate(
    models: Sequence[str] | None = None,
    *,
    using: str | Sequence[str] = DEFAULT_DB_ALIAS,
    wait_for_db: float | None = None,
    on_failure: str = "stop",
) -> None:
    """Bring the tables of the models (labels; None for all) up to date before the server serves.

    `using` is an alias or several; `wait_for_db` is for how many seconds to wait for a database that cannot be
    reached, None being what the setting says. With `on_failure` "log" a failure is logged, and the server starts.
    With "stop" it is logged too, and `SystemExit` raised, with which servers give up.
    """
    start("autoupdate", models, using, wait_for_db, on_failure)


def automigrate(
    models: Sequence[str] | None = None,
    *,
    using: str | Sequence[str] = DEFAULT_DB_ALIAS,
    confirm: Sequence[str] = (),
    wait_for_db: float | None = None,
    on_failure: str = "stop",
) -> None:
    """Make the tables anew where they do not match the models, and lose their rows; see `autoupdate`.

    Where DEBUG is off and rows would be lost, that is a failure unless `confirm` has the name of the database.
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
    """What the two have in common."""
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
    """A WSGI application before whose making the databases are brought up to date."""

    def __init__(self) -> None:
        start_once()
        super().__init__()


class StartingASGIHandler(ASGIHandler):
    """The same for ASGI."""

    def __init__(self) -> None:
        start_once()
        super().__init__()


def hook() -> None:
    """Let `get_wsgi_application` and `get_asgi_application` do at first what the setting asks for.

    Servers and `runserver` call them, and no other command of Django's does; both set Django up before they look
    up the handler's class (django/core/wsgi.py, django/core/asgi.py), so that `AppConfig.ready` comes in time. The
    clients and live servers of tests make handlers of other classes, or these ones by their own names.
    """
    wsgi.WSGIHandler = StartingWSGIHandler  # type: ignore[attr-defined]
    asgi.ASGIHandler = StartingASGIHandler  # type: ignore[attr-defined]


_once = threading.Lock()
_started = False


def start_once() -> None:
    """Do what the setting asks for, unless this process has done so, or runs tests or migrations.

    A malformed setting stops the start.
    """
    global _started
    with _once:
        if _started or is_testing() or is_migrating():
            return
        try:
            wanted = conf.on_start()
        except ValueError as error:
            tell(logging.ERROR, f"{NOT_STARTED} of the settings: {error}")
            raise SystemExit(STARTUP_FAILURE) from error
        carry_out(wanted, conf.wait_for_db())
        _started = True


# The work


def carry_out(wanted: OnStart, wait_for_db: float) -> None:
    """Do it; where it fails, say so and stop the start by `SystemExit`, or go on with it."""
    try:
        outside_of_loops(lambda: work(wanted, wait_for_db))
    except (AutomigrateError, Error) as error:
        goes_on = wanted.on_failure == "log"
        tell(logging.ERROR, f"{'The server starts although' if goes_on else NOT_STARTED} {wanted.verb} failed: {error}")
        if not goes_on:
            raise SystemExit(STARTUP_FAILURE) from error


def outside_of_loops(work: Callable[[], None]) -> None:
    """Do the work here, or in a thread of its own where an event loop runs, as when uvicorn imports asgi.py."""
    if not in_event_loop():
        return work()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(work).result()


def work(wanted: OnStart, wait_for_db: float) -> None:
    """Deal with the databases, and close the connections that it took."""
    aliases = wanted.databases
    opened = [alias for alias in aliases if connections[alias].connection is None]
    try:
        for alias in aliases:
            await_database(alias, wait_for_db, warn)
        deal_with = rebuild if wanted.verb == "automigrate" else update
        using = aliases[0] if len(aliases) == 1 else aliases
        on(using, wanted.models, None, lambda selection: told(deal_with(selection, wanted)))
    finally:
        for alias in opened:
            close(alias)


def update(selection: Selection, wanted: OnStart) -> Plan:
    """`autoupdate` of one database."""
    return update_one(selection, Options(notify=warn), dry_run=False)


def rebuild(selection: Selection, wanted: OnStart) -> Plan:
    """`automigrate` of one database, where it does not match; so the second of two workers leaves it to the first."""
    if is_one_actual(selection):
        return Plan(alias=selection.alias, vendor=connections[selection.alias].vendor, schema=Schema({}))
    name = str(connections[selection.alias].settings_dict["NAME"])
    if not settings.DEBUG and name not in wanted.confirm:
        forbid_losses(rows_at_stake(selection, using=selection.alias), name)
    return rebuild_one(selection, Options(notify=warn, unless_same=True), dry_run=False)


def forbid_losses(rows: dict[str, int], name: str) -> None:
    """Raise `AutomigrateError` where rows would be lost."""
    if rows:
        losses = f"{plural(sum(rows.values()), 'row')} of {plural(len(rows), 'table')}"
        raise AutomigrateError(
            f"{losses} would be lost by automigrate, and DEBUG is off. Nothing was done. Give the database's name "
            f"{name!r} in AUTOMIGRATE['ON_START']['CONFIRM'] (confirm=) if that is meant."
        )


def close(alias: str) -> None:
    """Close the connection, and its pool: a process that is forked must not share them."""
    connection: Any = connections[alias]
    connection.close()
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close_pool()


# Telling


def told(plan: Plan) -> Plan:
    """Say what was done, and give the plan back."""
    if plan.judgements:
        tell(logging.INFO, text.report(plan))
    else:
        logger.debug(text.report(plan))
    return plan


def warn(message: str) -> None:
    """Say what a start waits for."""
    tell(logging.WARNING, message)


def tell(level: int, message: str) -> None:
    """Log it, or where the project has no handler for that write it to stderr, which is a server's own log."""
    if logger.hasHandlers():
        logger.log(level, message)
    else:
        print(message, file=sys.stderr, flush=True)
