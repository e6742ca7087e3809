"""What a pass over the rows proves of a change of type on MariaDB is what the server's own conversion shows."""

import random
import re
import uuid
from dataclasses import replace

import pytest

from automigrate_ext.backends.mysql import hazards
from automigrate_ext.backends.mysql.plain import integer_range, survives_plainly
from automigrate_ext.schema.nouns import Column
from tests.acceptance.helper import Case
from tests.features import need

SIGNED = ["tinyint", "smallint", "mediumint", "int", "bigint"]
INTEGERS = [*SIGNED, *(f"{kind} unsigned" for kind in SIGNED)]
DECIMALS = ["decimal(5,2)", "decimal(5,0)", "decimal(2,2)", "decimal(12,4) unsigned", "decimal(65,30)"]
TIMES = ["date", "datetime", "datetime(3)", "datetime(6)"]
KINDS = [*INTEGERS, "tinyint(1)", *DECIMALS, *TIMES, "uuid", "varchar(6)", "varchar(36)"]
#: Texts of which each survives some type; an underscore stands for a space.
PLAIN = """
0 1 -1 7 42 -42 99 100 1.5 -1.50 0.5 12.34 123456.7891 0.0 -0.1
2024-02-28 2023-04-30 1999-12-31 2024-01-02_10:20:30 2024-01-02T23:59:59 2024-01-02_00:00:00 2024-01-02_10:20:30.5
2024-01-02_10:20:30.120000 2024-01-02_10:20:30.123456 2024-01-02_10:20:30.1239
6f9619ff-8b86-4011-b42d-00cf4fc964ff 6F9619FF8B861011B42D00CF4FC964FF 00000000-0000-7000-8000-000000000000
"""
#: Texts that look like values and are none, or are others once they are.
ODD = r"""
_ - + . -0 +1 00 01 -01 0. .5 -.5 -0.0 -0.00 1. 1e3 1E3 1e 0x1A 1,000 NULL true NaN inf abc 1_ _1 1\n \n1 1\r\n 1\t
1\0 \0 \u0661 \uff11 \uff11\uff12 1\u00a0 \u22121 1\U0001f600 \u0661\u0662 1\u0301 \u017f
2024-02-29 2023-02-29 2024-02-30 2024-04-31 2024-13-01 0000-00-00 0000-01-01 0999-01-01 2024-1-2 24-01-02 20240102
2024-01-02_ 2024-01-02\n 2024/01/02 2024-01-02_24:00:00 2024-01-02T10:20:30+00:00 2024-01-02t10:20:30
2024-01-02_10:20:60 2024-01-02_10:20 2024-01-02_10:20:30.
6f9619ff-8b86-8011-042d-00cf4fc964ff 6f9619ff8b86f011742d00cf4fc964ff 8d88348a-7eed-8d14-806d-3fef701966a0
00000000-0000-0000-0000-000000000000 ffffffffffffffffffffffffffffffff 6f9619ff-8b86-d011-b42d00cf4fc964ff
{6f9619ff-8b86-d011-b42d-00cf4fc964ff}
"""
ALPHABET = "0123456789-+. eE:TtaF\n\0\u0661"


def listed(given):
    return [text.replace("_", " ").encode().decode("unicode_escape") for text in given.split()]


def edges():
    """Yield the texts around the limits of all numbers."""
    for kind in INTEGERS:
        for limit in integer_range(kind):
            yield from (str(limit + step) for step in (-1, 0, 1))
    yield from ("9" * digits for digits in (3, 5, 10, 18, 19, 20, 35, 36, 64, 65, 66))
    yield from ("999.99", "999.994", "999.995", "1000", "1000.00", "0.99", "0.995", "99999999.9999", "99999999.99995")


def mutated(draw):
    """Return a text that is almost one of those that survive."""
    text = list(draw.choice(listed(PLAIN)))
    for _ in range(draw.randint(1, 2)):
        place = draw.randint(0, len(text))
        text[place : place + draw.randint(0, 1)] = draw.choice(ALPHABET) if draw.random() < 0.8 else ""
    return "".join(text)


def texts():
    draw = random.Random(20)
    drawn = ["".join(draw.choices(ALPHABET, k=draw.randint(0, 20))) for _ in range(200)]
    numbers = [f"{draw.choice(['', '-'])}{draw.randint(0, 10 ** draw.randint(1, 21))}" for _ in range(200)]
    uuids = [str(uuid.UUID(int=draw.getrandbits(128))) for _ in range(200)]
    uuids += [str(uuid.UUID(int=draw.getrandbits(128), version=draw.randint(1, 5))) for _ in range(100)]
    more = [
        *uuids,
        *(text.replace("-", "") for text in uuids[::3]),
        "",
        "g" * 32,
        "0" * 31,
        "\u017f" * 32,
        *edges(),
        *drawn,
        *numbers,
        *(mutated(draw) for _ in range(600)),
    ]
    return list(dict.fromkeys([*listed(PLAIN), *listed(ODD), *more]))


@pytest.fixture
def maria(mariadb):
    need(mariadb, "vendor's own")
    return Case(mariadb, "syncdb")


def fill(maria, kind, values):
    maria.execute(f'CREATE TABLE "the t" (id integer PRIMARY KEY AUTO_INCREMENT, "v v" {kind})')
    with maria.connection.cursor() as cursor:
        cursor.executemany("INSERT INTO `the t` (`v v`) VALUES (%s)", [[value] for value in values])


class Verdicts:
    """The verdict on a change of type, the one by converting all values, and the one by converting what is plain."""

    def __init__(self, maria, kind):
        backend = maria.backend
        rows, table = backend.rows, backend.introspect(["the t"]).tables["the t"]
        old = next(column for column in table.columns if column.name == "v v")
        new = Column(name="v v", type=kind, null=True, collatable=kind.startswith("varchar"))
        self.quick = hazards.count_lost(rows, table, old, new)
        old, new = (backend.in_table(table.name, column) for column in (old, new))
        has_value = hazards.HAS_VALUE.format(column="`v v`")
        condition = survives_plainly(old, new, "`v v`")
        assert condition

        def converted(condition):
            conversion = hazards.Conversion(old=old, new=new, condition=condition)
            return hazards.converted(rows, table, rows.stored(table), conversion)

        self.slow = converted(has_value)
        self.plain = converted(f"{has_value} AND ({condition}) IS TRUE")
        ((self.count,),) = maria.query(f'SELECT count(*) FROM "the t" WHERE {condition}')

    def assert_right(self, at_least=3):
        """Check that what is plain survives, and that the verdict is that of the conversion of all values."""
        assert (self.plain.rows, self.plain.error, self.plain.samples.keys) == (0, "", ())
        assert self.count >= at_least
        assert comparable(self.quick) == comparable(self.slow)


def comparable(loss):
    """Return a loss whose message does not count the rows that were inserted before the one that was refused."""
    return replace(loss, error=re.sub(r" at row \d+", "", loss.error))


OLD = ["varchar(80)", "longtext", "varchar(80) CHARACTER SET utf16", "text COLLATE utf8mb4_bin"]


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize("kind", KINDS)
def test_texts(maria, old, kind):
    # A shorter text of another character set or collation is not plainly the same.
    fill(maria, old.split()[0] if kind.startswith("varchar") else old, texts())
    verdicts = Verdicts(maria, kind)
    verdicts.assert_right()
    assert verdicts.quick.rows


@pytest.mark.parametrize("flags", ["MULTILINE", "DOTALL,EXTENDED,UNGREEDY", "DUPNAMES,EXTRA"])
def test_flags_of_regular_expressions(maria, flags):
    fill(maria, "varchar(80)", texts())
    maria.execute(f"SET SESSION default_regex_flags = '{flags}'")
    Verdicts(maria, "int").assert_right()


def test_text_of_another_collation_is_converted(maria):
    fill(maria, "varchar(80) COLLATE utf8mb4_bin", ["a"])
    table = maria.backend.introspect(["the t"]).tables["the t"]
    old = next(column for column in table.columns if column.name == "v v")
    new = replace(old, type="varchar(20)", collation="utf8mb4_general_ci")
    assert survives_plainly(old, new, "v") == ""
    assert survives_plainly(old, replace(new, collation=old.collation), "v")


@pytest.mark.parametrize("values", [[], [None, None], ["7", None, "-12"], ["2147483647", "-2147483648", None, "0"]])
def test_texts_that_all_survive(maria, values):
    fill(maria, "varchar(80)", values)
    verdicts = Verdicts(maria, "int")
    verdicts.assert_right(at_least=len([value for value in values if value is not None]))
    assert (verdicts.quick.rows, verdicts.quick.error) == (0, "")


@pytest.mark.parametrize("kind", ["tinyint(1)", "tinyint", "smallint unsigned", "int", "int unsigned"])
def test_numbers(maria, kind):
    limits = [limit + step for other in INTEGERS for limit in integer_range(other) for step in (-1, 0, 1)]
    fill(maria, "bigint", [n for n in dict.fromkeys((0, 1, 2, -1, *limits)) if -(2**63) <= n < 2**63])
    verdicts = Verdicts(maria, kind)
    verdicts.assert_right(at_least=2)
    assert verdicts.quick.rows


def test_history_counts(maria):
    fill(maria, "varchar(80)", ["7"])
    maria.execute('ALTER TABLE "the t" ADD SYSTEM VERSIONING')
    assert Verdicts(maria, "int").quick.rows == 0
    maria.execute("""UPDATE "the t" SET "v v" = '1.0'""", """UPDATE "the t" SET "v v" = '8'""")
    assert Verdicts(maria, "int").quick.rows == 1
