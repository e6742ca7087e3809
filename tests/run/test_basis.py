"""The digest of a model is the same, whether its statements are written for that or a run has drawn them already."""

import pytest
from django.db import models

from automigrate_ext.backends import backend_for
from automigrate_ext.declared.selection import select
from automigrate_ext.run import basis
from automigrate_ext.run.desired import draw_all
from tests.acceptance.helper import State
from tests.features import need
from tests.run.test_query_counts import many

COMMENTED = State(
    One={
        "code": models.CharField(max_length=9, unique=True, db_comment="of 'one'"),
        "other": models.OneToOneField("Two", models.CASCADE, db_constraint=False),
        "Meta": {"db_table_comment": "50 %", "unique_together": [("code", "other")]},
    },
    Two={"self": models.ForeignKey("self", models.SET_NULL, null=True), "size": models.IntegerField(db_default=5)},
)


def digests(connection, state):
    selection = select(None, connection.alias, state.apps)
    _, blueprints = draw_all(backend_for(connection.alias), selection.models)
    drawn = {blueprint.name: blueprint for blueprint in blueprints}
    assert len(drawn) == len(selection.models)
    return basis.of_models(selection), basis.of_models(selection, drawn), drawn


@pytest.mark.parametrize("state", [many(4), COMMENTED], ids=["many", "commented"])
def test_digests_of_what_is_drawn(connection, state):
    written, of_drawn, drawn = digests(connection, state)
    assert written == of_drawn
    assert not any(blueprint.is_swayed for blueprint in drawn.values())


def test_server_decides_about_a_statement_by_a_collation(postgresql):
    need(postgresql, "ICU collations")
    with postgresql.cursor() as cursor:
        cursor.execute("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    state = State(
        Loose={"name": models.CharField(max_length=9, db_index=True, db_collation="loose")},
        Plain={"name": models.CharField(max_length=9, db_index=True)},
    )
    written, of_drawn, drawn = digests(postgresql, state)
    assert written == of_drawn
    assert {name: blueprint.is_swayed for name, blueprint in drawn.items()} == {"shop_loose": True, "shop_plain": False}


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_server_decides_about_a_statement_by_an_engine(request, name):
    connection = request.getfixturevalue(name)
    state = State(Two={"code": models.IntegerField()}, One={"two": models.ForeignKey("Two", models.CASCADE)})
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_one (id bigint PRIMARY KEY, two_id bigint) ENGINE=MyISAM")
    written, of_drawn, drawn = digests(connection, state)
    assert written == of_drawn
    assert {name: blueprint.is_swayed for name, blueprint in drawn.items()} == {"shop_one": True, "shop_two": False}
