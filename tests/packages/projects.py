"""The packages, and for each a project of one app whose models use it, before and after a change."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = "from django.db import models\n"
EVERYWHERE = ("sqlite", "postgresql", "mariadb")
THING = """
class Thing(models.Model):
    name = models.CharField(max_length=20)
"""
CHANGED = """
class Thing(models.Model):
    name = models.CharField(max_length=40, db_index=True)
    size = models.IntegerField(default=3)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project that uses a package.

    `module` is what has to be installed. `before` and `after` are the models, `rows` makes rows of the former, and
    `kept` finds them by the latter. `settings` follow the settings that all projects have. `unmigrated` are changes
    that the package makes to the models behind the back of migrations.
    """

    module: str
    apps: tuple[str, ...] = ()
    before: str = HEAD + THING
    after: str = HEAD + CHANGED
    rows: str = "Thing.objects.create(name='a')"
    kept: str = "assert Thing.objects.get().name == 'a' and Thing.objects.get().size == 3"
    settings: str = ""
    databases: tuple[str, ...] = EVERYWHERE
    unmigrated: tuple[str, ...] = ()


PROJECTS = {
    "django-postgres-extra": Project(
        module="psqlextra",
        apps=("django.contrib.postgres", "psqlextra"),
        databases=("postgresql",),
        settings="for entry in DATABASES.values():\n    entry['ENGINE'] = 'psqlextra.backend'\n",
        before="""
from django.db import models
from psqlextra.fields import HStoreField
from psqlextra.models import PostgresModel

class Thing(PostgresModel):
    name = HStoreField(uniqueness=["en"], required=["en"])
    text = HStoreField(uniqueness=[("en", "nl")], null=True)
""",
        after="""
from django.db import models
from psqlextra.fields import HStoreField
from psqlextra.models import PostgresModel

class Thing(PostgresModel):
    name = HStoreField(uniqueness=["en", "nl"], required=["en"])
    text = HStoreField(null=True)
    size = models.IntegerField(default=3)
""",
        rows="Thing.objects.create(name={'en': 'a', 'nl': 'b'}, text={'en': 'c'})",
        kept="""
from django.db import IntegrityError, transaction
assert Thing.objects.get().name == {'en': 'a', 'nl': 'b'} and Thing.objects.get().text == {'en': 'c'}
for name in ({'en': 'a'}, {'en': 'x', 'nl': 'b'}, {'nl': 'y'}):
    try:
        with transaction.atomic():
            Thing.objects.create(name=name)
    except IntegrityError:
        continue
    raise AssertionError(name)
""",
    ),
    "django-activity-stream": Project(
        module="actstream",
        apps=("actstream",),
        rows="""
from actstream import action, registry
from django.contrib.auth.models import User
registry.register(Thing, User)
user = User.objects.create(username='u')
action.send(user, verb='made', target=Thing.objects.create(name='a'))
""",
        kept="""
from actstream.models import Action
assert Action.objects.get().verb == 'made' and Thing.objects.get().size == 3
""",
    ),
    "django-debug-toolbar": Project(
        module="debug_toolbar",
        apps=("django.contrib.staticfiles", "debug_toolbar"),
        settings="STATIC_URL = '/static/'\nINTERNAL_IPS = ['127.0.0.1']\n",
    ),
    "django-guardian": Project(
        module="guardian",
        apps=("guardian",),
        settings=(
            "AUTHENTICATION_BACKENDS = ['django.contrib.auth.backends.ModelBackend', "
            "'guardian.backends.ObjectPermissionBackend']\n"
        ),
        before=f"""
{HEAD}
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
{THING}
class ThingUserPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(Thing, on_delete=models.CASCADE)
""",
        after=f"""
{HEAD}
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
{CHANGED}
class ThingUserPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(Thing, on_delete=models.CASCADE)

class ThingGroupPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(Thing, on_delete=models.CASCADE)
""",
        rows="""
from django.contrib.auth.models import Group, User
from guardian.shortcuts import assign_perm
assign_perm('change_thing', User.objects.create(username='u'), Thing.objects.create(name='a'))
assign_perm('auth.change_group', User.objects.get(username='u'), Group.objects.create(name='g'))
""",
        kept="""
from django.contrib.auth.models import Group, User
user = User.objects.get(username='u')
assert user.has_perm('change_thing', Thing.objects.get()) and user.has_perm('auth.change_group', Group.objects.get())
""",
    ),
    "django-mptt": Project(
        module="mptt",
        # Put into the model once Django has read its Meta, from which migrations are written.
        unmigrated=("Add index (tree_id, lft) shop_thing_tree_id_lft_idx to shop_thing",),
        apps=("mptt",),
        before="""
from django.db import models
from mptt.models import MPTTModel, TreeForeignKey

class Thing(MPTTModel):
    name = models.CharField(max_length=20)
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")
""",
        after="""
from django.db import models
from mptt.fields import TreeManyToManyField, TreeOneToOneField
from mptt.models import MPTTModel, TreeForeignKey

class Thing(MPTTModel):
    name = models.TextField(unique=False)
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")
    size = models.IntegerField(default=3)

class Other(models.Model):
    thing = TreeForeignKey(Thing, models.CASCADE)
    one = TreeOneToOneField(Thing, models.CASCADE, related_name="+")
    many = TreeManyToManyField(Thing, related_name="+")
""",
        rows="""
root = Thing.objects.create(name='a')
Thing.objects.create(name='b', parent=root)
""",
        kept="assert [t.name for t in Thing.objects.get(name='a').get_descendants(include_self=True)] == ['a', 'b']",
    ),
    "django-polymorphic": Project(
        module="polymorphic",
        apps=("polymorphic",),
        before="""
from django.db import models
from polymorphic.models import PolymorphicModel

class Thing(PolymorphicModel):
    name = models.CharField(max_length=20)

class Big(Thing):
    size = models.IntegerField()
""",
        after="""
from django.db import models
from polymorphic.models import PolymorphicModel

class Thing(PolymorphicModel):
    name = models.CharField(max_length=20, db_index=True)
    rank = models.IntegerField(default=3)

class Big(Thing):
    size = models.BigIntegerField()

class Bigger(Big):
    more = models.TextField()
""",
        rows="Big.objects.create(name='a', size=7); Thing.objects.create(name='b')",
        kept="assert [type(t).__name__ for t in Thing.objects.order_by('name')] == ['Big', 'Thing']\n"
        "assert Big.objects.get().size == 7 and Big.objects.get().rank == 3",
    ),
    "django-simple-history": Project(
        module="simple_history",
        apps=("simple_history",),
        settings="MIDDLEWARE = ['simple_history.middleware.HistoryRequestMiddleware']\n",
        before="""
from django.db import models
from simple_history.models import HistoricalRecords

class Thing(models.Model):
    name = models.CharField(max_length=20, unique=True)
    history = HistoricalRecords()
""",
        after="""
from django.db import models
from simple_history.models import HistoricalRecords

class Tag(models.Model):
    name = models.CharField(max_length=20)

class Thing(models.Model):
    name = models.CharField(max_length=40, unique=True)
    tag = models.ForeignKey(Tag, models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag, related_name="+")
    history = HistoricalRecords(m2m_fields=[tags])
""",
        rows="thing = Thing.objects.create(name='a'); thing.name = 'b'; thing.save()",
        kept="assert [h.name for h in Thing.objects.get(name='b').history.all()] == ['b', 'a']",
    ),
    "django-pg-zero-downtime-migrations": Project(
        module="django_zero_downtime_migrations",
        databases=("postgresql",),
        settings=(
            "for entry in DATABASES.values():\n"
            "    entry['ENGINE'] = 'django_zero_downtime_migrations.backends.postgres'\n"
            "ZERO_DOWNTIME_MIGRATIONS_RAISE_FOR_UNSAFE = False\n"
        ),
        before=f"{HEAD}{THING}\nclass Other(models.Model):\n    thing = models.ForeignKey(Thing, models.CASCADE)\n",
        after=f"""{HEAD}{CHANGED}
class Other(models.Model):
    thing = models.ForeignKey(Thing, models.CASCADE, null=True)
    more = models.OneToOneField(Thing, models.CASCADE, null=True, related_name="+")
    code = models.CharField(max_length=9, default="x")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "thing"], name="code_of_thing"),
            models.CheckConstraint(condition=models.Q(code__gt=""), name="some_code"),
        ]
""",
        rows="Other.objects.create(thing=Thing.objects.create(name='a'))",
        kept="assert Other.objects.get().thing.name == 'a' and Other.objects.get().code == 'x'",
    ),
}
