"""Fields and indexes of packages that were not thought of: pgvector's."""

import pytest
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Cast

from tests.acceptance.helper import item
from tests.features import need

pgvector = pytest.importorskip("pgvector.django")


@pytest.fixture
def pg(pg):
    need(pg.connection, "extension vector")
    pg.execute("CREATE EXTENSION vector")
    return pg


def state(dimensions=3, *indexes, field=pgvector.VectorField, **options):
    return item(
        name=models.TextField(),
        a=field(dimensions=dimensions, null=True, **options),
        Meta={"indexes": list(indexes)},
    )


FIELDS = {
    "vector": pgvector.VectorField(dimensions=3, null=True),
    "vector of any length": pgvector.VectorField(null=True),
    "half vector": pgvector.HalfVectorField(dimensions=3, null=True),
    "bit": pgvector.BitField(length=3, null=True),
    "sparse vector": pgvector.SparseVectorField(dimensions=3, null=True),
}

INDEXES = {
    "hnsw": pgvector.HnswIndex(name="i", fields=["a"], opclasses=["vector_l2_ops"]),
    "hnsw with options": pgvector.HnswIndex(
        name="i", fields=["a"], m=8, ef_construction=32, opclasses=["vector_cosine_ops"]
    ),
    "ivfflat": pgvector.IvfflatIndex(name="i", fields=["a"], lists=10, opclasses=["vector_ip_ops"]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_field(pg, name):
    before, after = item(name=models.TextField()), item(name=models.TextField(), a=FIELDS[name])
    pg.unchanged(after)
    pg.run(after)
    pg.update(after, before, {"Item": [{"name": "a"}]}, built=True)
    pg.update(before, after, built=True)


@pytest.mark.parametrize("name", INDEXES)
def test_index(pg, name):
    pg.unchanged(state(3, INDEXES[name]))
    pg.run(state(3, INDEXES[name]))
    pg.update(state(3, INDEXES[name]), state(), changes=["Drop index"], built=True)
    pg.update(state(), state(3, INDEXES[name]), changes=["Add index"], built=True)


def test_index_on_an_expression(pg):
    index = pgvector.HnswIndex(
        OpClass(Cast("a", pgvector.HalfVectorField(dimensions=3)), name="halfvec_l2_ops"), name="i"
    )
    pg.unchanged(state(3, index))


def test_index_option_changed(pg):
    before, after = state(3, INDEXES["hnsw"]), state(3, INDEXES["hnsw with options"])
    pg.run(before)
    pg.update(before, after, changes=["Drop index", "Add index"], built=True)


def test_dimensions_changed(pg):
    pg.update(state(3, INDEXES["hnsw"]), state(4, INDEXES["hnsw"]), {"Item": [{"name": "a"}]})


def test_vector_becomes_half_vector(pg):
    after = state(3, field=pgvector.HalfVectorField)
    pg.update(state(3), after, {"Item": [{"name": "a", "a": [1, 2, 3]}]})
