"""Run a management command and print, on the last line, how many queries it sent to the default database."""

import sys

import django
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created

count = 0


def count_query(execute, sql, params, many, context):
    global count
    count += 1
    return execute(sql, params, many, context)


def watch(connection, **kwargs):
    """Count on every connection to the database, not only on the one that Django hands out."""
    same = connection.settings_dict["NAME"] == connections[DEFAULT_DB_ALIAS].settings_dict["NAME"]
    if same and count_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(count_query)


if __name__ == "__main__":
    django.setup()
    connection_created.connect(watch)
    call_command(*sys.argv[1:])
    print(count)
