"""Settings of a database that its driver does not take end in a message, not in a traceback."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, connections

from automigrate_ext import autoupdate

#: An option of each driver that is to be a number.
OPTIONS = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}


@pytest.fixture
def alias(connection):
    """An alias for the database of ``connection`` with an option that makes no sense."""
    if connection.vendor not in OPTIONS:
        pytest.skip("its driver has no such option")
    before = connection.settings_dict
    options = {**before["OPTIONS"], OPTIONS[connection.vendor]: "abc"}
    connections.settings["bad"] = {**connections.settings[DEFAULT_DB_ALIAS], **before, "OPTIONS": options}
    yield "bad"
    del connections["bad"]
    del connections.settings["bad"]


@pytest.mark.parametrize("arguments", [["autoupdate"], ["autoupdate", "--check"], ["automigrate", "--noinput"]])
@pytest.mark.parametrize("more", [[], ["--skip-checks"], ["--wait-for-db", "0.1"]])
def test_option_that_the_driver_does_not_take(alias, arguments, more):
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, *more, database=[alias])
    assert caught.value.returncode == 2
    assert "'bad'" in str(caught.value) and "\n" not in str(caught.value)


def test_option_that_the_driver_does_not_take_in_python(sqlite, request):
    alias = "bad"
    connections.settings[alias] = {**connections.settings[DEFAULT_DB_ALIAS], "OPTIONS": {"timeout": "abc"}}
    request.addfinalizer(lambda: connections.settings.pop(alias))
    with pytest.raises(ImproperlyConfigured, match=r"'bad' .*must be real number.*its OPTIONS \(timeout\)"):
        autoupdate(using=alias)
    del connections[alias]
