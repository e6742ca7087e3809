"""Statements that make tables are sent together, up to a number and a length."""

import pytest

from automigrate_ext.backends.work import LONGEST_MESSAGE, Step, messages


def made(number, sql="CREATE TABLE t"):
    return [Step(sql=f"{sql}{n}", table="t", makes_table=True) for n in range(number)]


def other(sql="ALTER TABLE t"):
    return Step(sql=sql, table="t")


@pytest.mark.parametrize(
    ("steps", "lengths"),
    [
        ([], []),
        ([other()], [1]),
        (made(1), [1]),
        (made(3), [3]),
        (made(7), [3, 3, 1]),
        ([other(), *made(2), other(), other(), *made(4)], [1, 2, 1, 1, 3, 1]),
        (made(3, "x" * (LONGEST_MESSAGE // 2 - 1)), [2, 1]),
        (made(2, "x" * (LONGEST_MESSAGE + 1)), [1, 1]),
    ],
)
def test_messages_of_up_to_three(steps, lengths):
    sent = list(messages(steps, 3))
    assert [len(message) for message in sent] == lengths
    assert [step for message in sent for step in message] == steps


def test_limit_of_one():
    assert [len(message) for message in messages(made(3), 1)] == [1, 1, 1]
