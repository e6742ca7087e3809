"""Reads before a run has its lock: others change tables meanwhile, and the server ends reads because of that."""

import re
from itertools import count

import pytest
from django.db import models
from django.db.utils import OperationalError

from automigrate_ext import automigrate, autoupdate, is_actual, make_plan
from automigrate_ext.api import rows_at_stake
from automigrate_ext.backends.mysql.faults import DEADLOCK
from automigrate_ext.backends.mysql.locks import FREE_LOCK, TRY_LOCK
from tests.acceptance.helper import Case, item

#: Statements that read tables or the dictionary; those of variables wait for nobody.
READ = re.compile(r"^\s*(SELECT\b.*\bFROM|SHOW CREATE)\b", re.IGNORECASE | re.DOTALL)
BEFORE = item(name=models.CharField(max_length=20))
AFTER = item(name=models.CharField(max_length=20), size=models.IntegerField(null=True))


class Disturbance:
    """Ends one of the reads outside of the lock as a server does that has to choose between two sessions."""

    def __init__(self, number):
        self.number = number
        self.depth = 0
        self.reads = 0

    def __call__(self, execute, sql, params, many, context):
        if sql == TRY_LOCK:
            self.depth += 1
        elif sql == FREE_LOCK:
            self.depth -= 1
        elif not self.depth and READ.search(sql):
            self.reads += 1
            if self.reads == self.number:
                raise OperationalError(DEADLOCK, "Deadlock found when trying to get lock; try restarting transaction")
        return execute(sql, params, many, context)


@pytest.mark.parametrize("database", ["mariadb", "mysql"])
@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda **options: bool(autoupdate(**options)), True),
        (lambda **options: bool(automigrate(**options)), True),
        (lambda **options: bool(make_plan(**options)), True),
        (is_actual, False),
        (rows_at_stake, {"shop_item": 1}),
    ],
    ids=["autoupdate", "automigrate", "make_plan", "is_actual", "rows_at_stake"],
)
def test_any_read_is_repeated_under_the_lock(request, database, work, expected):
    case = Case(request.getfixturevalue(database), "autoupdate")
    for number in count(1):
        automigrate(using=case.alias, apps=BEFORE.apps)
        case.insert(BEFORE, {"Item": [{"name": "a"}]})
        disturbance = Disturbance(number)
        with case.connection.execute_wrapper(disturbance):
            assert work(using=case.alias, apps=AFTER.apps) == expected, f"read {number}"
        if disturbance.reads < number:
            break
    assert number > 3
