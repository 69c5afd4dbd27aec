"""What runs in a session without being the database's."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.database import Database
from tests import facts
from tests.statements import value

MakeDatabase = Callable[..., Database]


async def test_an_error_of_another_server_is_not_one_of_the_database(probe_database: MakeDatabase) -> None:
    def ask_somebody_else(session: Any) -> None:
        raise ConnectionRefusedError("of a web service")

    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        with pytest.raises(ConnectionRefusedError):
            await session.run_sync(ask_somebody_else)
        assert await value(session, text(facts.SESSION_ID)) == id
