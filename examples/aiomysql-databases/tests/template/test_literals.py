"""Bytes as aiomysql and PyMySQL write them into a statement, in every mode that a server may be in."""

import pytest

from app.database import driver

HOSTILE = bytes(range(256)) + b"\\' OR 1 = 1 -- \\"


@pytest.mark.parametrize("mode", ["STRICT_ALL_TABLES", "NO_BACKSLASH_ESCAPES"])
async def test_bytes_arrive_as_they_are(server: driver.RawConnection, mode: str) -> None:
    await driver.run(server, f"SET SESSION sql_mode = CONCAT(@@sql_mode, ',{mode}')", ())
    ran = await driver.run(server, "SELECT %s, %s", (HOSTILE, b""))
    assert [tuple(row) for row in ran.rows] == [(HOSTILE, b"")]
