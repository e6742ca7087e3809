"""Random models, as plain values that print well: a field is its class's name and its options."""

import itertools
import uuid
from typing import Any

from django.contrib.postgres import fields as pg_fields
from django.contrib.postgres import indexes as pg_indexes
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper
from django.utils.timezone import now
from hypothesis import strategies as st

from tests.acceptance.helper import State
from tests.features import COLLATIONS

FieldSpec = tuple[str, dict[str, Any]]
#: Of a model: the fields by name, and the options of Meta, indexes and constraints as tuples.
ModelSpec = dict[str, Any]

NAMES = ("a", "b", "c", "d", "e")
MODELS = ("One", "Two", "Three")
LENGTHS = st.sampled_from([1, 5, 20])

TEXT = ("CharField", "TextField", "SlugField")
NUMBERS = (
    "IntegerField",
    "BigIntegerField",
    "SmallIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "PositiveBigIntegerField",
)
OTHERS = (
    "BooleanField",
    "DecimalField",
    "FloatField",
    "DateField",
    "DateTimeField",
    "TimeField",
    "UUIDField",
    "BinaryField",
    "JSONField",
    "DurationField",
    "GenericIPAddressField",
)
RELATIONS = ("ForeignKey", "OneToOneField")
POSTGRESQL = ("ArrayField", "IntegerRangeField")
#: What no index or unique constraint is over.
NO_KEYS = ("JSONField", "BinaryField")
#: The vendor of Django's backend for MariaDB, where Django leaves out what is conditional or an expression.
MYSQL = "mysql"
#: The vendors of databases that keep comments.
COMMENTED = ("postgresql", MYSQL)
#: What Python fills in, and what the database does.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(TEXT, "x"),
    **dict.fromkeys(NUMBERS, 7),
    "BooleanField": True,
    "FloatField": 1.5,
}
COUNTER = itertools.count(1000)


def number() -> int:
    """Another number each time."""
    return next(COUNTER)


#: What is called for each row.
CALLED: dict[str, Any] = {**dict.fromkeys(NUMBERS, number), "UUIDField": uuid.uuid4, "DateTimeField": now}


@st.composite
def options(draw, kind: str) -> dict[str, Any]:
    """The options that any field may have, few of them at a time."""
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found["null"] = True
    extras = ["", "", "unique", "db_index", "default", "called", "called unique", "db_default", "both", "db_column"]
    extra = draw(st.sampled_from(extras))
    if extra.startswith("called") and kind in CALLED:
        found["default"] = CALLED[kind]
        found["unique"] = extra.endswith("unique")
    if extra in ("unique", "db_index"):
        found[extra] = kind not in NO_KEYS
    if extra in ("default", "both") and kind in DEFAULTS:
        found["default"] = DEFAULTS[kind]
    if extra in ("db_default", "both") and kind in DEFAULTS:
        found["db_default"] = DEFAULTS[kind]
    if extra == "both" and kind not in NO_KEYS:
        found["db_index"] = True
    if extra == "db_column":
        found["db_column"] = draw(st.sampled_from(["Odd Name", "other", "A", "B"]))
    return found


@st.composite
def plain_field(draw, vendor: str) -> FieldSpec:
    """A field with a column of its own that refers to nothing."""
    kinds = (*TEXT, *TEXT, *NUMBERS, *OTHERS)
    kind = draw(st.sampled_from((*kinds, *POSTGRESQL) if vendor == "postgresql" else kinds))
    found = draw(options(kind))
    if vendor == MYSQL and kind == "TextField":
        found.pop("unique", None)
        found.pop("db_index", None)
    if kind in ("CharField", "SlugField"):
        found["max_length"] = draw(LENGTHS)
    if kind == "DecimalField":
        found |= draw(st.sampled_from([{"max_digits": 5, "decimal_places": 2}, {"max_digits": 9, "decimal_places": 0}]))
    if kind in ("CharField", "TextField") and draw(st.integers(0, 3)) == 0:
        found["db_collation"] = COLLATIONS[vendor]
    if vendor in COMMENTED and draw(st.integers(0, 9)) == 0:
        found["db_comment"] = draw(st.sampled_from(["one", "it's two"]))
    if kind == "ArrayField":
        found["base_field"] = draw(st.sampled_from(["CharField", "IntegerField"]))
        found.pop("db_index", None)
    return kind, found


@st.composite
def relation(draw, targets: tuple[str, ...]) -> FieldSpec:
    """A foreign key or one-to-one to a model of the same state, itself perhaps."""
    found: dict[str, Any] = {"to": draw(st.sampled_from(targets)), "null": draw(st.integers(0, 3)) > 0}
    extra = draw(st.sampled_from(["", "", "", "db_constraint", "db_index", "db_column"]))
    if extra == "db_column":
        found["db_column"] = "Odd Ref"
    elif extra:
        found[extra] = False
    kind = draw(st.sampled_from(RELATIONS))
    if kind == "OneToOneField":
        found.pop("db_index", None)
    return kind, found


@st.composite
def model(draw, vendor: str, targets: tuple[str, ...], virtual: bool) -> ModelSpec:
    """A model with up to five fields and what Meta may say of them."""
    fields: dict[str, FieldSpec] = {}
    key = draw(st.sampled_from(["", "", "", "", "auto", "char", "integer", "composite"]))
    if key in ("auto", "char", "integer"):
        fields["id"] = {
            "auto": ("AutoField", {"primary_key": True}),
            "char": ("CharField", {"primary_key": True, "max_length": 9}),
            "integer": ("IntegerField", {"primary_key": True}),
        }[key]
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        is_relation = targets and draw(st.integers(0, 4)) == 0
        fields[name] = draw(relation(targets)) if is_relation else draw(plain_field(vendor))
    avoid_equal_columns(fields)
    plain = [name for name, (kind, found) in fields.items() if name != "id" and kind not in NO_KEYS]
    if key == "composite" and len(plain) >= 2:
        for name in plain[:2]:
            fields[name] = "IntegerField", {}
        fields["pk"] = "CompositePrimaryKey", {"of": tuple(plain[:2])}
    add_generated(draw, fields, virtual)
    spec: ModelSpec = {"fields": fields, **draw(meta(vendor, fields))}
    if targets and draw(st.integers(0, 3)) == 0:
        fields["tags"] = "ManyToManyField", {"to": draw(st.sampled_from(targets))}
    return spec


def avoid_equal_columns(fields: dict[str, FieldSpec]) -> None:
    """A column name may be given once, whatever its case."""
    seen = {name for name, (_, found) in fields.items() if "db_column" not in found}
    for name, (_, found) in fields.items():
        if found.get("db_column", "").lower() in seen - {name}:
            del found["db_column"]
        seen.add(found.get("db_column", name).lower())


def add_generated(draw, fields: dict[str, FieldSpec], virtual: bool) -> None:
    """Perhaps a column that is computed from a number."""
    numbers = [name for name, (kind, _) in fields.items() if kind in NUMBERS and name != "id"]
    if numbers and draw(st.integers(0, 3)) == 0:
        fields["made"] = (
            "GeneratedField",
            {
                "of": draw(st.sampled_from(numbers)),
                "times": draw(st.sampled_from([2, 3])),
                "output": draw(st.sampled_from(["IntegerField", "BigIntegerField"])),
                "db_persist": not virtual or draw(st.booleans()),
            },
        )


@st.composite
def meta(draw, vendor: str, fields: dict[str, FieldSpec]) -> dict[str, Any]:
    """Indexes, constraints, unique_together and comments over the fields."""
    indexable = [
        name
        for name, (kind, _) in fields.items()
        if kind not in (*NO_KEYS, "GeneratedField", "CompositePrimaryKey", *POSTGRESQL)
        and not (vendor == MYSQL and kind == "TextField")
    ]
    texts = [name for name in indexable if fields[name][0] in TEXT]
    numbers = [name for name in indexable if fields[name][0] in NUMBERS]
    found: dict[str, Any] = {"indexes": (), "constraints": ()}
    kinds = ["plain", "plain", "two", "desc"]
    if vendor != MYSQL:
        kinds += ["lower", "partial text"] * bool(texts) + ["partial"] * bool(numbers)
    if vendor == "postgresql":
        kinds += ["hash", "brin"] + ["opclass"] * bool(texts)
    if indexable:
        for _ in range(draw(st.integers(0, 2))):
            found["indexes"] += (draw(index(kinds, indexable, texts, numbers)),)
        constraints = ["unique", "unique partial"] * bool(numbers) + ["check"] * bool(numbers)
        constraints += ["in list", "unique lower"] * bool(texts) + ["unique two"]
        if vendor == MYSQL:
            constraints = [kind for kind in constraints if kind not in ("unique partial", "unique lower")]
        for _ in range(draw(st.integers(0, 2))):
            found["constraints"] += (draw(constraint(constraints, indexable, texts, numbers)),)
        if len(indexable) >= 2 and draw(st.integers(0, 5)) == 0:
            found["unique_together"] = (tuple(draw(st.permutations(indexable))[:2]),)
    if vendor in COMMENTED and draw(st.integers(0, 9)) == 0:
        found["db_table_comment"] = draw(st.sampled_from(["one", "it's two"]))
    return unique_names(found)


@st.composite
def index(draw, kinds, indexable, texts, numbers):
    kind = draw(st.sampled_from(kinds))
    pool = {"lower": texts, "partial text": texts, "opclass": texts, "partial": numbers}.get(kind, indexable)
    name = draw(st.sampled_from(["i", "j"]))
    return kind, name, draw(st.sampled_from(pool)), draw(st.sampled_from(indexable))


@st.composite
def constraint(draw, kinds, indexable, texts, numbers):
    kind = draw(st.sampled_from(kinds))
    pool = {"in list": texts, "unique lower": texts}.get(kind, indexable if kind == "unique two" else numbers)
    name = draw(st.sampled_from(["c", "d"]))
    return kind, name, draw(st.sampled_from(pool)), draw(st.sampled_from(indexable))


def unique_names(found: dict[str, Any]) -> dict[str, Any]:
    """Each name once."""
    for key in ("indexes", "constraints"):
        found[key] = tuple({thing[1]: thing for thing in found[key]}.values())
    return found


@st.composite
def state(draw, vendor: str, virtual: bool) -> dict[str, ModelSpec]:
    """One to three models that may point at each other; never at one with a composite key."""
    names = MODELS[: draw(st.integers(1, 3))]
    specs = {name: draw(model(vendor, names, virtual)) for name in names}
    composite = {name for name, spec in specs.items() if "pk" in spec["fields"]}
    for name, spec in specs.items():
        for field, (kind, found) in list(spec["fields"].items()):
            forbidden = found.get("to") in composite or (kind == "ManyToManyField" and name in composite)
            if forbidden and kind == "ManyToManyField":
                del spec["fields"][field]
            elif forbidden:
                spec["fields"][field] = "IntegerField", {"null": True}
                drop_meta(spec, field)
    return specs


def drop_meta(spec: ModelSpec, field: str) -> None:
    """Forget what Meta says of a field that became another."""
    for key in ("indexes", "constraints"):
        spec[key] = tuple(thing for thing in spec[key] if field not in thing[2:])
    spec["unique_together"] = tuple(pair for pair in spec.get("unique_together", ()) if field not in pair)


# From values to models


def build(specs: dict[str, ModelSpec]) -> State:
    """The models that the values describe."""
    return State(**{name: definition(name, spec) for name, spec in specs.items()})


def definition(name: str, spec: ModelSpec) -> dict[str, Any]:
    prefix = name.lower()
    meta: dict[str, Any] = {
        "indexes": [make_index(prefix, *thing) for thing in spec["indexes"]],
        "constraints": [make_constraint(prefix, *thing) for thing in spec["constraints"]],
    }
    for key in ("unique_together", "db_table_comment"):
        if spec.get(key):
            meta[key] = spec[key]
    return {**{field: make_field(*value) for field, value in spec["fields"].items()}, "Meta": meta}


def make_field(kind: str, found: dict[str, Any]) -> models.Field:
    found = dict(found)
    if kind == "CompositePrimaryKey":
        return models.CompositePrimaryKey(*found["of"])
    if kind == "GeneratedField":
        return models.GeneratedField(
            expression=F(found["of"]) * found["times"],
            output_field=getattr(models, found["output"])(),
            db_persist=found["db_persist"],
        )
    if kind in RELATIONS:
        return getattr(models, kind)(on_delete=models.CASCADE, related_name="+", **found)
    if kind == "ManyToManyField":
        return models.ManyToManyField(related_name="+", **found)
    if kind == "ArrayField":
        base = found.pop("base_field")
        found["base_field"] = models.CharField(max_length=9) if base == "CharField" else models.IntegerField()
        return pg_fields.ArrayField(**found)
    return getattr(pg_fields if kind in POSTGRESQL else models, kind)(**found)


def make_index(prefix: str, kind: str, name: str, field: str, other: str) -> models.Index:
    name = f"{prefix}_{name}"
    match kind:
        case "lower":
            return models.Index(Lower(field), name=name)
        case "partial text":
            return models.Index(fields=[other], condition=Q(**{f"{field}__in": ["a", "b"]}), name=name)
        case "partial":
            return models.Index(fields=[other], condition=Q(**{f"{field}__gt": 1}), name=name)
        case "two" if field != other:
            return models.Index(fields=[field, other], name=name)
        case "desc":
            return models.Index(fields=[f"-{field}"], name=name)
        case "hash":
            return pg_indexes.HashIndex(fields=[field], name=name)
        case "brin":
            return pg_indexes.BTreeIndex(fields=[field], fillfactor=70, name=name)
        case "opclass":
            return models.Index(pg_indexes.OpClass(Upper(field), "text_pattern_ops"), name=name)
    return models.Index(fields=[field], name=name)


def make_constraint(prefix: str, kind: str, name: str, field: str, other: str) -> models.BaseConstraint:
    name = f"{prefix}_{name}"
    match kind:
        case "check":
            return models.CheckConstraint(condition=Q(**{f"{field}__gte": 1}), name=name)
        case "in list":
            return models.CheckConstraint(condition=~Q(**{f"{field}__in": ["y", "z"]}), name=name)
        case "unique partial":
            return models.UniqueConstraint(fields=[other], condition=Q(**{f"{field}__gt": 1}), name=name)
        case "unique lower":
            return models.UniqueConstraint(Lower(field), name=name)
        case "unique two" if field != other:
            return models.UniqueConstraint(fields=[field, other], name=name)
    return models.UniqueConstraint(fields=[field], name=name)


@st.composite
def rows(draw) -> dict[str, int]:
    """How many rows to try to put into each model, and from which value on."""
    return {name: draw(st.integers(0, 3)) for name in MODELS} | {"from": draw(st.integers(0, 8))}


# The same models by other names


@st.composite
def new_names(draw, specs: dict[str, ModelSpec]) -> dict[str, Any]:
    """Other names for models and, under each model's old name, for fields; they may shift and be traded."""
    names = draw(st.permutations((*MODELS, "Four", "Five")))
    found: dict[str, Any] = {"": dict(zip(specs, names, strict=False))}
    for model, spec in specs.items():
        fields = [name for name in spec["fields"] if name in NAMES]
        found[model] = dict(zip(fields, draw(st.permutations((*NAMES, "f", "g"))), strict=False))
    return found


def by_one_spelling(specs: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Return the models without columns whose names are a field's in another case, which another one may be given."""
    for spec in specs.values():
        for _, found in spec["fields"].values():
            if found.get("db_column") in ("A", "B"):
                del found["db_column"]
    return specs


def renamed(specs: dict[str, ModelSpec], names: dict[str, Any]) -> dict[str, ModelSpec]:
    """The models by their new names."""
    return {names[""][model]: renamed_model(spec, names[""], names[model]) for model, spec in specs.items()}


def renamed_model(spec: ModelSpec, models_: dict[str, str], fields: dict[str, str]) -> ModelSpec:
    def field(name):
        return fields.get(name, name)

    def other(found):
        changed = {"to": models_[found["to"]]} if "to" in found else {}
        if "of" in found:
            of = found["of"]
            changed["of"] = field(of) if isinstance(of, str) else tuple(map(field, of))
        return {**found, **changed}

    new = {**spec, "fields": {field(name): (kind, other(found)) for name, (kind, found) in spec["fields"].items()}}
    for key in ("indexes", "constraints"):
        new[key] = tuple((*thing[:2], *map(field, thing[2:])) for thing in spec[key])
    new["unique_together"] = tuple(tuple(map(field, pair)) for pair in spec.get("unique_together", ()))
    return new


def requests(names: dict[str, Any]) -> dict[str, str]:
    """The renames as they are asked for, fields by their models' new names."""
    asked = {f"shop.{old}": new for old, new in names[""].items() if old != new}
    for model, fields in names.items():
        if model:
            place = f"shop.{names[''][model]}"
            asked |= {f"{place}.{old}": new for old, new in fields.items() if old != new}
    return asked


def turned_round(names: dict[str, Any]) -> dict[str, Any]:
    """The names by which to go back."""
    back: dict[str, Any] = {"": {new: old for old, new in names[""].items()}}
    for model, new_name in names[""].items():
        back[new_name] = {new: old for old, new in names[model].items()}
    return back
