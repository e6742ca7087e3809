"""Seed the rows of AUTOMIGRATE["AFTER"] again after a flush, as content types and permissions are."""

from __future__ import annotations

from contextlib import nullcontext

from django.db import DEFAULT_DB_ALIAS, transaction

from automigrate_ext import conf
from automigrate_ext.backends import backend_for
from automigrate_ext.run import hooks
from automigrate_ext.run.record import Record


def seed_again(using: str = DEFAULT_DB_ALIAS) -> None:
    """Run the entries of AUTOMIGRATE["AFTER"] that have been run in the database before, in one transaction.

    For test runners, after a flush that sends no `post_migrate`. Raises what the entries raise.
    """
    after = hooks.load(conf.AFTER, using)
    if not after:
        return
    backend = backend_for(using)
    recorded = Record(backend).hooks()
    due = [hook for hook in after if hook.identity in recorded]
    if due:
        with transaction.atomic(using=using) if backend.undoes_ddl else nullcontext():
            for hook in due:
                hook.run(backend)
