"""The WSGI application of the demo project."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from automigrate_ext import startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_demo.settings")

application = get_wsgi_application()

# While developing, the pending page asks first: what was renamed, for one, a start cannot know.
if not settings.DEBUG:
    startup.autoupdate()
