"""The page of past runs in Django's admin, which loads this module where it is installed.

Django's admin lists models, so that the page has one: in a registry of its own, as the record has, and so of no
installed app. It has no table, migration, content type or permission, and no run takes it for one of the project's.
The page is for users who have every permission: superusers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.utils import Error
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

TEMPLATE = "admin/automigrate_ext/pastrun/change_list.html"


class PastRun(models.Model):
    """A name for the admin's list of models; no rows are ever read by it."""

    class Meta:
        apps = Apps()
        app_label = "automigrate_ext"
        managed = False
        default_permissions = ()

    def __str__(self) -> str:
        return "past run"


if TYPE_CHECKING:
    Base = admin.ModelAdmin[PastRun]
else:
    Base = admin.ModelAdmin


@admin.register(PastRun)
class PastRunAdmin(Base):
    """The list of runs that have changed a database; nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PastRun | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PastRun | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the address of the list, the only one."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name=f"{self.opts.app_label}_{self.opts.model_name}_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Return the page for the database that the query names, the default one if it names none.

        A record that cannot be read is a message on the page. Raises `PermissionDenied`, and `Http404` for a database
        that the settings do not have.
        """
        # Every command of a project with the admin loads this module.
        from automigrate_ext.api import history
        from automigrate_ext.exceptions import AutomigrateError

        if not self.has_view_permission(request):
            raise PermissionDenied
        alias = request.GET.get("database", DEFAULT_DB_ALIAS)
        if alias not in tuple(connections):
            raise Http404(f"There is no database {alias!r}.")
        found: dict[str, Any] = {"runs": (), "fault": ""}
        try:
            found["runs"] = history(using=alias)
        except (AutomigrateError, Error) as error:
            found["fault"] = str(error)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Past runs of database {alias!r}",
            "opts": self.opts,
            "alias": alias,
            "aliases": tuple(connections),
            **found,
            **(extra_context or {}),
        }
        return TemplateResponse(request, TEMPLATE, context)
