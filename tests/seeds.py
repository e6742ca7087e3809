"""Functions that tests name in AUTOMIGRATE["AFTER"]."""

from django.contrib.auth.models import Group, Permission

#: The aliases with which the functions below were called.
called = []


def group_of_writers(using):
    """A group that may add todos; made once."""
    group, _ = Group.objects.using(using).get_or_create(name="writers")
    permissions = Permission.objects.using(using).filter(codename="add_todo")
    assert permissions, "no permission to give"
    group.permissions.set(permissions)


def note(using):
    called.append(using)


def note_before(using):
    called.append(f"{using} before")
