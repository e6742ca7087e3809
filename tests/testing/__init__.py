"""Test databases made from the models, in real runs of pytest and `manage.py test`."""
