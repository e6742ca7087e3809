"""What else starts a run, or stands beside one: a first query, Django's system checks, and its `migrate`."""
