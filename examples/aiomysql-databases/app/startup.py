"""Questions to the server on connections of their own, outside the pool: is it there, and does the service fit in?"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

import stamina

from app.database import AccessDenied, DatabaseError, TooManyConnections, Unavailable, driver
from app.database.target import Target
from app.database.translation import translate, translated
from app.revision import State, state, warn_if_behind
from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

FRESH_AFTER = 30.0  # seconds


class CannotConnect(Exception):
    """Why not and where to, in one sentence without a secret."""


class Probe:
    """Keeps one connection for its questions, which thus neither wait for the pool nor open one each time.

    Connections outlive the password, the grants and the database that they came by: so every 30 s it is a new one.
    """

    def __init__(self, target: Target, settings: DatabaseSettings) -> None:
        self._target = target
        self._settings = settings
        self._connection: driver.RawConnection = None
        self._fresh_until = 0.0
        self.migrations: State | None = None  # what was found last

    async def check(self) -> None:
        """Raises our error when the server does not answer, or lets nobody in. For one caller at a time."""
        await self.ask(self._ask)

    async def ask(self, question: Callable[[driver.RawConnection], Awaitable[T]]) -> T:
        """What a function says of the connection. Raises our errors. For one caller at a time."""
        with translated(writing=True):
            connection, self._connection = self._connection, None
            if connection is None or driver.is_closed(connection) or monotonic() >= self._fresh_until:
                connection = await self._another_than(connection)
            try:
                answer = await question(connection)
            except BaseException:  # a cancelled question leaves its answer in the socket
                driver.terminate(connection)
                raise
            self._connection = connection
            return answer

    async def _ask(self, connection: driver.RawConnection) -> None:
        await driver.ping(connection)
        self.migrations = await state(connection)

    async def _another_than(self, old: driver.RawConnection) -> driver.RawConnection:
        """A new connection. The old one lives on where there is no place for two: that says nothing of the account."""
        new = None
        try:
            new = await driver.connect(self._target, self._settings)
            if old is not None:
                await driver.close(old)
        except BaseException as error:
            no_place = new is None and isinstance(translate(error, writing=True), TooManyConnections)
            if old is None or driver.is_closed(old) or not no_place:
                for connection in filter(None, (old, new)):
                    driver.terminate(connection)
                raise
        self._fresh_until = monotonic() + FRESH_AFTER
        return new or old

    async def close(self) -> None:
        if self._connection is not None:
            await driver.close(self._connection)


@contextmanager
def in_a_sentence(target: Target) -> Iterator[None]:
    """Raise CannotConnect instead of what the driver raises."""
    try:
        with translated(writing=True):
            yield
    except DatabaseError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise CannotConnect(" ".join(f"{error}: {target.where}, database {target.database}{cause}".split())) from error


async def first_connection(settings: DatabaseSettings, *, read_only: bool = True) -> driver.RawConnection:
    """A connection to the primary, which may come up as late as `startup_timeout` seconds from now.

    Raises CannotConnect; at once when access is denied, since waiting does not make a password right.
    """
    with in_a_sentence(settings.target):
        async for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, Unavailable) and not isinstance(error, AccessDenied),
            attempts=None if settings.startup_timeout else 1,
            timeout=settings.startup_timeout or None,
            wait_initial=0.1,
            wait_max=1.0,
            wait_jitter=0.1,
        ):
            with attempt, translated(writing=True):
                return await driver.connect(settings.target, settings, read_only=read_only)


async def wait_for_server(settings: DatabaseSettings, *, workers: int) -> None:
    """Wait for the primary; warn where all workers' connections do not fit, and where migrations were not applied.

    Raises as first_connection does.
    """
    connection = await first_connection(settings)
    await warn_if_behind(connection)
    await _compare_with_limit("DATABASE_URL", connection, settings, workers)
    if settings.replica_target:
        try:  # once: what can be read from the primary need not wait for a replica
            with translated(writing=True):
                connection = await driver.connect(settings.replica_target, settings)
        except DatabaseError as error:
            logger.warning("The replica does not answer: %s (%s)", error, error.__cause__)
        else:
            await _compare_with_limit("DATABASE_REPLICA_URL", connection, settings, workers)


async def _compare_with_limit(
    name: str, connection: driver.RawConnection, settings: DatabaseSettings, workers: int
) -> None:
    try:
        with translated(writing=True):
            limit = int(await driver.scalar(connection, driver.CONNECTION_LIMIT))
    finally:
        await driver.close(connection)
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
