"""Does the replica follow? It is asked whether it has come to where the primary was some seconds ago.

So no clocks are compared and no privilege is needed, and a replica that has stopped is one that lags. Where the servers
keep no such positions, it only has to answer.
"""

from time import monotonic

from app.database import driver
from app.database.target import Target
from app.settings import DatabaseSettings
from app.startup import Probe

LAGS_AFTER = 10.0  # seconds


class ReplicaLags(Exception):
    """The replica answers, with what the primary had more than LAGS_AFTER seconds ago."""


class PrimaryProbe(Probe):
    """Also knows how far the primary had written when it was asked last."""

    position: str | None = None

    async def _ask(self, connection: driver.RawConnection) -> None:
        await super()._ask(connection)
        self.position = await driver.scalar(connection, driver.POSITION)


class ReplicaProbe(Probe):
    """Of a replica of that primary."""

    def __init__(self, primary: PrimaryProbe, target: Target, settings: DatabaseSettings) -> None:
        super().__init__(target, settings)
        self._primary = primary
        self._awaited: tuple[float, str] | None = None  # since when, and what

    async def check(self) -> None:
        """Raises our error, or ReplicaLags."""
        await super().check()
        if self._awaited and monotonic() - self._awaited[0] >= LAGS_AFTER:
            raise ReplicaLags

    async def _ask(self, connection: driver.RawConnection) -> None:
        if self._awaited is None and self._primary.position:
            self._awaited = monotonic(), self._primary.position
        query = driver.REACHED.format(self._awaited[1]) if self._awaited else "SELECT 1"
        if await driver.scalar(connection, query) in (1, None):
            self._awaited = None


def probes(settings: DatabaseSettings) -> tuple[Probe, Probe | None]:
    """Of the primary, and of its replica where there is one."""
    if (replica := settings.replica_target) is None:
        return Probe(settings.target, settings), None
    primary = PrimaryProbe(settings.target, settings)
    return primary, ReplicaProbe(primary, replica, settings)
