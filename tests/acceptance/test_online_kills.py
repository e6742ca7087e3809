"""`kill -9` of a process with an online run, under four writers: the next run finishes, and nothing is lost."""

import signal
import threading
from contextlib import closing, contextmanager

import psycopg
import pytest

from automigrate_ext.schema.nouns import canonical
from tests.acceptance.helper import Case
from tests.acceptance.online_states import AFTER, BEFORE
from tests.acceptance.test_online import REMNANTS, recorded
from tests.conftest import url_of
from tests.forks import forking

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork and SIGKILL"),
    pytest.mark.timeout(600),
]

WRITERS = 4
RUN = "from tests.acceptance.online_states import run; run(int(argv[0]), *argv[1:])"
ROWS = (
    "INSERT INTO shop_group (name, hits) SELECT 'g' || n, 0 FROM generate_series(1, 60) n",
    "INSERT INTO shop_tag (code, other, hits) SELECT n, 100 - n, 0 FROM generate_series(1, 60) n",
    "INSERT INTO shop_item (name, size, code, label, group_id) "
    "SELECT nullif('a', CASE WHEN n % 2 = 0 THEN 'a' END), nullif(n % 3, 0), 'c' || n, 'l' || n, n "
    "FROM generate_series(1, 60) n",
)
#: What a writer does in turn, with its own number and that of the turn.
WRITES = (
    "INSERT INTO shop_item (name, size, code, group_id) VALUES ('w', 1, '%(writer)s-%(turn)s', 1 + %(writer)s)",
    "UPDATE shop_item SET size = size + 1 WHERE code = 'c' || (3 * %(writer)s + 1)",
    "UPDATE shop_group SET hits = hits + 1 WHERE id = 1 + %(writer)s",
    "UPDATE shop_tag SET hits = hits + 1 WHERE code = 1 + %(writer)s",
)
#: For each writer, what it has left behind: rows of its own, and three numbers that it has counted up from 1, 0 and 0.
WRITTEN = """
SELECT (SELECT count(*) FROM shop_item WHERE code LIKE %(writer)s || '-%%'),
       (SELECT size - 1 FROM shop_item WHERE code = 'c' || (3 * %(writer)s + 1)),
       (SELECT hits FROM shop_group WHERE id = 1 + %(writer)s),
       (SELECT hits FROM shop_tag WHERE code = 1 + %(writer)s)
"""
#: The rows that there were in the beginning, and how many of the values are missing that the models have for them.
UNFILLED = """
SELECT (SELECT count(*) FROM shop_item WHERE name IS NULL OR size IS NULL OR chance IS NULL OR rank <> 3),
       (SELECT 60 - count(DISTINCT maybe) FROM shop_item WHERE code LIKE 'c%'),
       (SELECT 60 - count(DISTINCT title) FROM shop_item WHERE code LIKE 'c%'),
       (SELECT 60 - count(DISTINCT token) FROM shop_group)
"""


class Writer(threading.Thread):
    """Writes as the models were before; counts what the server has acknowledged."""

    def __init__(self, url, number):
        super().__init__()
        self.url, self.number = url, number
        self.over = threading.Event()
        self.acknowledged = [0] * len(WRITES)
        self.error = None

    def run(self):
        try:
            with closing(psycopg.connect(self.url, autocommit=True)) as session:
                while not self.over.wait(0.02):
                    for kind, sql in enumerate(WRITES):
                        done = session.execute(sql % {"writer": self.number, "turn": self.acknowledged[0]})
                        assert done.rowcount == 1, sql
                        self.acknowledged[kind] += 1
        except Exception as error:
            self.error = error


@contextmanager
def writing(url):
    """Four writers, which write until the block ends."""
    writers = [Writer(url, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.over.set()
            writer.join()


def test_killed_at_any_statement_under_writers_is_finished_by_the_next_run(postgresql, tmp_path):
    """Before each statement, and while those run that are not undone as a whole or take long."""
    case, url = Case(postgresql, "automigrate"), url_of(postgresql)
    tables = AFTER.tables()
    wanted = canonical(case.fresh(AFTER))
    kills, statements = [()], []
    with forking(url, tmp_path, preload=["tests.acceptance.online_states"]) as parent:
        while kills:
            kill = kills.pop()
            recorded(case, BEFORE)
            case.execute(*ROWS)
            with writing(url) as writers:
                if kill:
                    child = parent.fork(RUN, *map(str, kill))
                    assert child.wait() == -signal.SIGKILL, (kill, child.out, child.err)
                last = parent.fork(RUN, "0")
                assert last.wait() == 0, (kill, last.err)
            assert [writer.error for writer in writers] == [None] * WRITERS, kill
            for writer in writers:
                assert case.query(WRITTEN % {"writer": f"'{writer.number}'"}) == [tuple(writer.acknowledged)], kill
            assert case.query(UNFILLED) == [(0, 0, 0, 0)], kill
            assert case.query(REMNANTS) == [], kill
            assert canonical(case.introspect(tables)) == wanted, kill
            assert not case.plan(AFTER), kill
            if not kill:
                statements = last.out.splitlines()
                kills = list(all_kills(statements))
            case.drop(AFTER)
            case.execute("DROP TABLE automigrate_ext_owned")
    assert len(statements) > 30


def all_kills(statements):
    """Each statement before which the process is killed, and some during which it is."""
    for number, sql in enumerate(statements, 1):
        yield (number,)
        if "CONCURRENTLY" in sql or "VALIDATE" in sql:
            yield number, "during"
