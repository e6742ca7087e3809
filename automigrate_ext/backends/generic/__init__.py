"""Any database that Django has a backend for, through Django's public introspection and schema editor alone."""

from __future__ import annotations

from automigrate_ext.backends.generic.backend import GenericBackend

__all__ = ["GenericBackend"]
