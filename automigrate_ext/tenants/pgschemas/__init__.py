"""An app whose `migrateschema` takes the place of that of django-pgschemas, before which INSTALLED_APPS has it."""
