"""Questions to the server on connections of their own, outside the pool: is it there, and does the service fit in?"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeAlias, TypeVar

import stamina

from app.connection_limit import warn_if_too_many
from app.database import AccessDenied, DatabaseError, TooManyConnections, Unavailable, driver
from app.database.target import Target
from app.database.translation import translate, translated
from app.revision import State, state, warn_if_behind
from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")
Question: TypeAlias = Callable[[driver.RawConnection], Awaitable[T]]

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

    async def ask(self, question: Question[T]) -> T:
        """What a function says of the connection. Raises our errors. For one caller at a time."""
        with translated(writing=True):
            connection, self._connection = self._connection, None
            if connection is None or driver.is_closed(connection) or monotonic() >= self._fresh_until:
                connection = await self._another_than(connection)
            answer = await _answer(connection, question)
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


async def first_connection(
    settings: DatabaseSettings, *, read_only: bool = True, ask: Question[object] | None = None
) -> driver.RawConnection:
    """A connection to the primary, which may come up as late as `startup_timeout` seconds from now and answer `ask`.

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
                connection = await driver.connect(settings.target, settings, read_only=read_only)
                if ask is not None:
                    await _answer(connection, ask)
                return connection


async def wait_for_server(settings: DatabaseSettings, *, workers: int) -> None:
    """Wait for the primary; warn where all workers' connections do not fit, and where migrations were not applied.

    Raises as first_connection does.
    """

    async def ask(connection: driver.RawConnection) -> None:
        await warn_if_behind(connection)
        await warn_if_too_many(connection, "DATABASE_URL", settings, workers)

    await driver.close(await first_connection(settings, ask=ask))
    if settings.replica_target:
        try:  # once: what can be read from the primary need not wait for a replica
            with translated(writing=True):
                connection = await driver.connect(settings.replica_target, settings)
                await _answer(connection, lambda it: warn_if_too_many(it, "DATABASE_REPLICA_URL", settings, workers))
                await driver.close(connection)
        except DatabaseError as error:
            logger.warning("The replica does not answer: %s (%s)", error, error.__cause__)


async def _answer(connection: driver.RawConnection, question: Question[T]) -> T:
    try:
        return await question(connection)
    except BaseException:  # a cancelled question leaves its answer in the socket
        driver.terminate(connection)
        raise
