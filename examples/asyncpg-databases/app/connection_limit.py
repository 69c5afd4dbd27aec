"""Whether the connections of all workers fit in what the server takes: else some requests find that out under load."""

import logging

from app.database import driver
from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)


async def warn_if_too_many(
    connection: driver.RawConnection, name: str, settings: DatabaseSettings, workers: int
) -> None:
    """`name` is the setting that leads to the server of this connection. Raises what the driver raises."""
    limit = int(await driver.scalar(connection, driver.CONNECTION_LIMIT))
    per_worker = settings.pool_size + settings.max_overflow + driver.SPARE_CONNECTIONS
    if not settings.external_pooler and workers * per_worker > limit:
        logger.warning(
            "%s: %d workers x (pool_size %d + max_overflow %d + %d) connections do not fit in the server's limit of "
            "%d: lower DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW or WEB_CONCURRENCY, or raise the server's limit",
            name,
            workers,
            settings.pool_size,
            settings.max_overflow,
            driver.SPARE_CONNECTIONS,
            limit,
        )
