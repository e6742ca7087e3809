"""The exit statuses of the commands; see docs/reference.md."""

DIFFERENT, FAILED, INTERRUPTED = 1, 2, 130
