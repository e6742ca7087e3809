"""Receivers of post_migrate are called for every change, by the run that made it or else by the next one."""

from contextlib import contextmanager

import pytest
from django.apps import apps
from django.db.models.signals import post_migrate
from django.dispatch import Signal

from automigrate_ext import automigrate, autoupdate, signals
from automigrate_ext.testing.bootstrap import is_unknown


class Listener:
    """A receiver that fails a number of times at first, and counts how often it is called."""

    def __init__(self, failures=0):
        self.failures = failures
        self.told = 0

    def __call__(self, using, **kwargs):
        self.told += 1
        if self.told <= self.failures:
            raise ZeroDivisionError


@contextmanager
def listening(app_label, **options):
    listener = Listener(**options)
    sender = apps.get_app_config(app_label)
    post_migrate.connect(listener, sender=sender)
    try:
        yield listener
    finally:
        post_migrate.disconnect(listener, sender=sender)


@pytest.mark.parametrize("verb", [automigrate, autoupdate])
@pytest.mark.parametrize("models", [None, "todo"], ids=["all", "some"])
def test_receivers_that_failed_are_told_by_the_next_run(connection, verb, models):
    with listening("todo", failures=1) as listener:
        with pytest.raises(ZeroDivisionError):
            verb(models, using=connection.alias)
        autoupdate(models, using=connection.alias)
        assert listener.told == 2
        assert not autoupdate(models, using=connection.alias)
        assert listener.told == 2


def test_only_some_receivers_of_a_signal_are_told():
    signal, told = Signal(), []

    def first(**options):
        told.append("first")

    def second(**options):
        told.append("second")
        signal.connect(third)
        signal.disconnect(second)
        # Others may be disconnected, and connected again, as if they were called.
        signal.disconnect(fourth)
        signal.disconnect(dispatch_uid="fifth")
        signal.connect(fifth, dispatch_uid="fifth")

    def third(**options):
        told.append("third")

    def fourth(**options):
        told.append("fourth")

    def fifth(**options):
        told.append("fifth")

    for receiver in (first, second, fourth):
        signal.connect(receiver)
    signal.connect(fifth, dispatch_uid="fifth")
    with signals.restricted(signal, lambda receiver: receiver is second):
        signal.send(sender=None)
    assert told == ["second"]
    signal.send(sender=None)
    assert told == ["second", "first", "third", "fifth"]


def test_receivers_that_are_awaited_are_left_out_too():
    signal, told = Signal(), []

    async def wait(**options):
        told.append("waited")

    signal.connect(wait)
    with signals.restricted(signal, lambda receiver: False):
        signal.send(sender=None)
    signal.send(sender=None)
    assert told == ["waited"]


def test_receivers_without_a_module_are_known_as_others():
    assert is_unknown({}.update)
