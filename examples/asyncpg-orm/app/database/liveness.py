"""Is a pooled connection fit for use? One that the server closed is seen without a round trip; one that has been idle
is asked, since a firewall or a failover may have dropped it without a word (`DATABASE_POOL_PRE_PING`).
"""

import asyncio
from typing import TYPE_CHECKING

from app.database import driver
from app.database.error_codes import classify

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

PING_AFTER = 5.0  # seconds of idleness: under load no connection is ever asked


async def is_usable(
    connection: driver.RawConnection, idle: float, settings: "DatabaseSettings", deadline: float
) -> bool:
    """Whether a connection that was given back `idle` seconds ago may be handed out again.

    The question takes `connect_timeout` seconds at most, and does not go beyond `deadline` on the loop's clock.
    """
    if driver.is_closed(connection):
        return False
    if not settings.pool_pre_ping or idle < PING_AFTER:
        return True
    limit = min(deadline, asyncio.get_running_loop().time() + settings.connect_timeout)
    try:
        async with asyncio.timeout_at(limit):
            await driver.ping(connection)
    except Exception as error:
        if classify(error) is None:
            raise
        return False
    return True
