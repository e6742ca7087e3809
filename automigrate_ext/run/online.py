"""Whether a run is carried out beside the work of others."""

from __future__ import annotations

from automigrate_ext.backends.base import Backend
from automigrate_ext.backends.online import Online
from automigrate_ext.exceptions import AutomigrateError
from automigrate_ext.run.options import Options

NOTHING_TO_GAIN = "Database {alias!r} is one file with one writer, so there is nothing to gain from an online run."
NOT_SUPPORTED = (
    "Database {alias!r}: online runs are not supported on {name}. Nothing was done. Run it without --online "
    "(online=False), and with {alias!r} left out of AUTOMIGRATE['ONLINE']."
)


def online_for(backend: Backend, options: Options) -> Online | None:
    """Return what carries out a run beside the work of others; None for a run that does not go by that.

    Raises `AutomigrateError` where it is asked for and the database has no way to do so.
    """
    if not options.online:
        return None
    online = backend.online
    if online is not None:
        online.batch_size = options.batch_size
        return online
    names = {"alias": backend.connection.alias, "name": backend.connection.display_name}
    if backend.connection.vendor != "sqlite":
        raise AutomigrateError(NOT_SUPPORTED.format(**names))
    options.patience.notify(NOTHING_TO_GAIN.format(**names))
    return None
