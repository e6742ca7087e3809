"""Print as JSON what a process takes to set Django up, and from there to the first query of `is_actual()`.

In milliseconds of processor time, without connecting, which whoever asks the database does anyway; and how many modules
are loaded for it.
"""

import json
import sys
import time
from contextlib import suppress
from typing import Any

import django
from django.db import connection


class FirstQuery(BaseException):
    """Raised in the place of the first query, past whatever catches errors."""


def stop(execute: Any, sql: str, params: Any, many: bool, context: Any) -> None:
    raise FirstQuery(sql)


def main() -> None:
    begun = time.process_time()
    django.setup()
    set_up = time.process_time()
    connection.ensure_connection()
    connection.execute_wrappers.append(stop)
    modules = len(sys.modules)
    started = time.process_time()
    with suppress(FirstQuery):
        # As a project does it: the package is loaded when it is first asked.
        from automigrate_ext import is_actual

        is_actual()
    asked = time.process_time()
    values = {"set_up": set_up - begun, "first_query": asked - started}
    print(json.dumps({name: value * 1000 for name, value in values.items()} | {"modules": len(sys.modules) - modules}))


if __name__ == "__main__":
    main()
