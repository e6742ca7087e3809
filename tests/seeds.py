"""Functions that tests name in AUTOMIGRATE["AFTER"]."""

from django.contrib.auth.models import Group, Permission


def group_of_writers(using):
    """A group that may add todos; made once."""
    group, _ = Group.objects.using(using).get_or_create(name="writers")
    group.permissions.set(Permission.objects.using(using).filter(codename="add_todo"))
