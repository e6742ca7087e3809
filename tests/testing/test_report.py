"""The line on a test database, and the details of what was done."""

from automigrate_ext import autoupdate
from automigrate_ext.testing.report import DatabaseReport


def report(**facts):
    return DatabaseReport(alias="default", database="test_shop", seconds=0.5, **facts)


def test_report_of_a_database_that_needed_nothing():
    assert report().line() == "test database 'test_shop': up to date, 0.50 s"
    assert list(report().details()) == []


def test_report_of_a_copy():
    assert report(source="test_shop").summary() == "copied from 'test_shop' in 0.50 s"


def test_reports_of_plans(sqlite):
    made = autoupdate("todo", using=sqlite.alias)
    nothing = autoupdate("todo", using=sqlite.alias)
    assert report(plan=nothing).summary() == "up to date, 0.50 s"
    number = len(made.changes)
    assert report(plan=made).summary() == f"{number} tables created in 0.50 s"
    remade = report(plan=made, remade="rows are gone")
    assert remade.summary() == f"rebuilt with {number} tables in 0.50 s, because rows are gone"
    assert any("Create table todo_todo " in line for line in remade.details())
