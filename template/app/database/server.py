"""Questions to the server on connections of their own, outside the pool: is it there, and does the service fit in?"""

import logging
from typing import TYPE_CHECKING

import stamina

from app.database import driver
from app.database.errors import AccessDenied, Unavailable
from app.database.translation import translated

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)


class Probe:
    """Keeps one connection for `check`, which thus neither waits for the pool nor opens one each time."""

    def __init__(self, target: "Target", settings: "DatabaseSettings") -> None:
        self._target = target
        self._settings = settings
        self._connection: driver.RawConnection = None

    async def check(self) -> None:
        """Raises our error when the server does not answer. For one caller at a time."""
        with translated(writing=True):
            connection, self._connection = self._connection, None
            if connection is None or driver.is_closed(connection):
                connection = await driver.connect(self._target, self._settings)
            try:
                await driver.ping(connection)
            except BaseException:  # a cancelled question leaves its answer in the socket
                driver.terminate(connection)
                raise
            self._connection = connection

    async def close(self) -> None:
        if self._connection is not None:
            await driver.close(self._connection)


async def wait_for_server(settings: "DatabaseSettings", *, workers: int) -> None:
    """Wait up to `startup_timeout` seconds for the primary and warn when all workers' connections do not fit in it.

    Raises Unavailable; AccessDenied at once, since waiting does not make a password right.
    """
    async for attempt in stamina.retry_context(
        on=lambda error: isinstance(error, Unavailable) and not isinstance(error, AccessDenied),
        attempts=None,
        timeout=settings.startup_timeout,
        wait_initial=0.1,
        wait_max=1.0,
    ):
        with attempt, translated(writing=True):
            connection = await driver.connect(settings.target, settings)
    try:
        with translated(writing=True):
            limit = int(await driver.scalar(connection, driver.CONNECTION_LIMIT))
    finally:
        await driver.close(connection)
    per_worker = settings.pool_size + settings.max_overflow + 1  # the probe's
    if not settings.external_pooler and workers * per_worker > limit:
        logger.warning(
            "%d workers x (pool_size %d + max_overflow %d + 1) connections do not fit in the server's limit of %d: "
            "lower DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW or WEB_CONCURRENCY, or raise the server's limit",
            workers,
            settings.pool_size,
            settings.max_overflow,
            limit,
        )
