#!/usr/bin/env python
"""Run management commands of the demo project."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_demo.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"The settings cannot be used: {error}.", file=sys.stderr)
        sys.exit(2)
