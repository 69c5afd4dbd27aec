"""What goes wrong on PostgreSQL and in asyncpg alone."""

import asyncpg
import pytest

from app.database import DatabaseError, SchemaChanged, ServerGone, error_codes


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.InternalClientError("cannot process message 'E': protocol is in an unexpected state 3."), ServerGone),
        (asyncpg.InternalClientError("no binary format encoder for type a (OID 1)"), DatabaseError),
        (asyncpg.OutdatedSchemaCacheError("unexpected number of attributes of composite type"), SchemaChanged),
        (asyncpg.InvalidCachedStatementError("cached statement plan is invalid"), SchemaChanged),
        (asyncpg.FeatureNotSupportedError("something else"), DatabaseError),
        (asyncpg.InternalServerError("cache lookup failed for type 16411"), SchemaChanged),
        (asyncpg.InternalServerError("could not find pathkey item to sort"), DatabaseError),
        (asyncpg.InterfaceError("connection is closed"), ServerGone),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), DatabaseError),
    ],
    ids=str,
)
def test_an_error_is_what_it_says_of_the_server(error: Exception, kind: type[DatabaseError]) -> None:
    assert type(error_codes.classify(error)) is kind
