"""Named locks of the server, which the runs and the copies of databases take. Loaded by every kept test database."""

#: The beginning of the names of the package's locks.
LOCK_PREFIX = "automigrate_ext."
TRY_LOCK = "SELECT GET_LOCK(%s, 0)"
FREE_LOCK = "SELECT RELEASE_LOCK(%s)"
