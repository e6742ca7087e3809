"""Extensions: which of them the models need, which of these are missing, and why one cannot be created.

Before an extension is created, the server does not show which types and operator classes it brings. For those that come
with PostgreSQL, and for pgvector, this module lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.contrib.postgres.indexes import OpClass
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids, register_type_handlers
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, F, Model
from django.db.models.sql import Query
from django.db.utils import Error

from automigrate_ext.backends.extensions import Extensions
from automigrate_ext.backends.postgresql import faults
from automigrate_ext.exceptions import AutomigrateError, ExecutionFailed

CREATE = "CREATE EXTENSION IF NOT EXISTS {name}{schema}"
IN_SCHEMA = " WITH SCHEMA {schema}"
# A database has an extension once. Tenants, whose search paths begin with schemas of their own, all find it in the last
# one. Some extensions have a schema that cannot be chosen.
SHARED_SCHEMA = """
SELECT quote_ident(name), name <> current_schema()
FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, number)
WHERE name !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_available_extension_versions e WHERE e.name = %s AND e.schema IS NOT NULL)
ORDER BY number DESC LIMIT 1
"""
THERE = "SELECT extname FROM pg_extension WHERE extname = ANY(%s)"
AVAILABLE = "SELECT DISTINCT name FROM pg_available_extensions WHERE name = ANY(%s)"
MAY_CREATE = """
SELECT quote_ident(current_user), quote_ident(current_database()), has_database_privilege(current_database(), 'CREATE'),
       coalesce((SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = %s), false)
"""

#: The modules of the fields that Django has for every database.
DJANGO_FIELDS = "django.db.models."
#: Extensions by the types of columns. Sources: https://www.postgresql.org/docs/current/contrib.html, pgvector's README.
OF_TYPES = {
    "citext": "citext",
    "cube": "cube",
    "hstore": "hstore",
    "ltree": "ltree",
    "halfvec": "vector",
    "sparsevec": "vector",
    "vector": "vector",
}
#: Extensions by the operator classes that indexes and constraints name.
OF_OPERATOR_CLASSES = {
    "gin_trgm_ops": "pg_trgm",
    "gist_trgm_ops": "pg_trgm",
    "gin__int_ops": "intarray",
    "gist__int_ops": "intarray",
    "gist__intbig_ops": "intarray",
}
#: Extensions by the access methods of indexes.
OF_METHODS = {"bloom": "bloom"}
#: Extensions by the access method over a plain type, for which PostgreSQL itself has no operator class.
OF_PLAIN_TYPES = {"gin": "btree_gin", "gist": "btree_gist"}
# Sources: https://www.postgresql.org/docs/current/btree-gin.html and btree-gist.html. Types as `db_type` spells them.
PLAIN_TYPES = frozenset(
    {
        *("smallint", "integer", "bigint", "real", "double precision", "numeric", "money", "oid", "boolean"),
        *("text", "varchar", "character varying", "char", "bytea", "bit", "varbit", "bit varying"),
        *("date", "time", "time without time zone", "time with time zone", "interval"),
        *("timestamp", "timestamp without time zone", "timestamp with time zone"),
        *("uuid", "inet", "cidr", "macaddr", "macaddr8"),
    }
)


class PostgreSQLExtensions(Extensions):
    """The extensions of a PostgreSQL database."""

    def needed(self, models: Iterable[type[Model]]) -> Mapping[str, str]:
        return needed(self.connection, models)

    def missing(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        return missing(self.connection, wanted)

    def create_statement(self, name: str) -> str:
        schema = self.shared_schema(name)
        return CREATE.format(
            name=self.connection.ops.quote_name(name), schema=IN_SCHEMA.format(schema=schema) if schema else ""
        )

    def shared_schema(self, name: str) -> str:
        """Return the schema for an extension; "" where that is the one in which the server creates it by itself."""
        with self.connection.cursor() as cursor:
            cursor.execute(SHARED_SCHEMA, [name])
            found = cursor.fetchone()
        return found[0] if found and found[1] else ""

    def create(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                with transaction.atomic(using=self.connection.alias):
                    self.session.execute(self.create_statement(name))
            except Error as error:
                if not faults.is_forbidden(error):
                    raise
                raise ExecutionFailed(forbidden(self.connection, name, error)) from error

    def register_types(self) -> None:
        self.forget_types()
        register_type_handlers(self.connection)

    def forget_types(self) -> None:
        cached: tuple[Any, ...] = (get_hstore_oids, get_citext_oids)
        for oids in cached:
            oids.cache_clear()


def needed(connection: BaseDatabaseWrapper, models: Iterable[type[Model]]) -> dict[str, str]:
    """Return the extensions that the models need, each with the first field, index or constraint that needs it."""
    found: dict[str, str] = {}
    for model in models:
        for extension, owner in of_model(connection, model):
            found.setdefault(extension, owner)
    return found


def of_model(connection: BaseDatabaseWrapper, model: type[Model]) -> Iterator[tuple[str, str]]:
    """Yield the extensions that one model needs, each with the field, index or constraint that needs it."""
    label = model._meta.label
    # None of Django's own fields is of such a type, and there may be very many of them.
    others = (field for field in model._meta.local_fields if not type(field).__module__.startswith(DJANGO_FIELDS))
    for field in others:
        if extension := OF_TYPES.get(plain(field.db_type(connection)).removesuffix("[]")):
            yield extension, f"{label}.{field.name}"
    for thing in (*model._meta.indexes, *model._meta.constraints):
        for extension in of_object(connection, model, thing):
            yield extension, f"{thing.name} of {label}"


def of_object(connection: BaseDatabaseWrapper, model: type[Model], thing: Any) -> Iterator[str]:
    """Yield the extensions that an index or a constraint needs."""
    method = method_of(thing)
    if method in OF_METHODS:
        yield OF_METHODS[method]
    if method not in OF_PLAIN_TYPES and not getattr(thing, "opclasses", ()) and not getattr(thing, "expressions", ()):
        return
    for kind, operator_class in keys_of(connection, model, thing):
        if operator_class in OF_OPERATOR_CLASSES:
            yield OF_OPERATOR_CLASSES[operator_class]
        elif not operator_class and method in OF_PLAIN_TYPES and kind in PLAIN_TYPES:
            yield OF_PLAIN_TYPES[method]


def method_of(thing: Any) -> str:
    """Return the access method: an attribute of exclusion constraints, the suffix of indexes of contrib.postgres."""
    return str(getattr(thing, "index_type", "") or getattr(thing, "suffix", "")).lower()


def keys_of(connection: BaseDatabaseWrapper, model: type[Model], thing: Any) -> Iterator[tuple[str, str]]:
    """Yield the type and the named operator class of each key, "" where there is none or it is not known."""
    classes = tuple(getattr(thing, "opclasses", ()))
    names = [name for name, _ in getattr(thing, "fields_orders", ())] or list(getattr(thing, "fields", ()))
    for number, name in enumerate(names):
        kind = plain(model._meta.get_field(name).db_type(connection))
        yield kind, classes[number] if number < len(classes) else ""
    for expression in getattr(thing, "expressions", ()):
        # Those of an exclusion constraint are pairs with their operators.
        key = expression[0] if isinstance(expression, (tuple, list)) else expression
        key = F(key) if isinstance(key, str) else key
        yield type_of(connection, model, key), operator_class_of(key)


def operator_class_of(expression: Any) -> str:
    """Return the operator class that an expression names, as django.contrib.postgres.indexes.OpClass does."""
    parts = expression.flatten() if isinstance(expression, Expression) else ()
    classes: Iterable[Any] = (part for part in parts if isinstance(part, OpClass))
    return next((str(part.extra["name"]) for part in classes), "")


def type_of(connection: BaseDatabaseWrapper, model: type[Model], expression: Any) -> str:
    """Return the type of an expression over the model's columns, or "" where Django does not know it."""
    try:
        resolved = expression.resolve_expression(Query(model, alias_cols=False))
        return plain(resolved.output_field.db_type(connection))
    except (FieldError, AttributeError):
        return ""


def plain(db_type: str | None) -> str:
    """Return a type without its length; "numeric(5, 2)" is "numeric"."""
    name, _, rest = (db_type or "").partition("(")
    return f"{name.strip()}{rest.partition(')')[2].rstrip()}".lower()


def missing(connection: BaseDatabaseWrapper, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Return the extensions that are missing. Raises `AutomigrateError` with each that the server cannot create."""
    if not wanted:
        return ()
    there = names(connection, THERE, wanted)
    absent = [name for name in wanted if name not in there]
    available = names(connection, AVAILABLE, absent) if absent else ()
    unknown = [f"{name!r} ({wanted[name]})" for name in absent if name not in available]
    if unknown:
        raise AutomigrateError(
            f"The server of database {connection.alias!r} does not have the extensions {', '.join(unknown)}. Nothing "
            f"was done. Install the packages that bring them there."
        )
    return tuple(absent)


def names(connection: BaseDatabaseWrapper, sql: str, wanted: Iterable[str]) -> set[str]:
    """Return those of the wanted names that a query returns."""
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(wanted)])
        return {name for (name,) in cursor.fetchall()}


def forbidden(connection: BaseDatabaseWrapper, name: str, error: Error) -> str:
    """Return why the role may not create an extension, and who can."""
    role, database, may_create, is_trusted = faults.row_of(connection, MAY_CREATE, name)
    words = " ".join(str(error).split()).rstrip(".")
    way_out = f"Let a superuser run CREATE EXTENSION {connection.ops.quote_name(name)} in {database} once"
    if is_trusted and not may_create:
        way_out += f", or GRANT CREATE ON DATABASE {database} TO {role}"
    return f"The role {role} may not create the extension {name!r}: {words}. Nothing was done. {way_out}."
