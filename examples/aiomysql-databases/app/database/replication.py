"""How far is a replica behind? By positions: where the primary was, and whether the replica has come there. So no
clocks are compared, no privilege is needed, and a replica that has stopped is one that lags.
"""

from math import inf, nan
from time import monotonic

from app.database import driver

KEPT = 600  # positions; of more every other one goes


class Positions:
    """Those of the primary which the replica may not have reached yet. `known` says that the servers have such."""

    def __init__(self) -> None:
        self._ahead: list[tuple[float, str]] = []  # since when, and which
        self.known = False

    async def note(self, primary: driver.RawConnection) -> None:
        """Ask the primary where it is now. Raises what the driver raises."""
        asked = monotonic()
        position = await driver.scalar(primary, driver.POSITION)
        if position is not None and (not self._ahead or self._ahead[-1][1] != position):
            self._ahead.append((asked, position))
            if len(self._ahead) > KEPT:
                del self._ahead[1::2]

    async def behind(self, replica: driver.RawConnection) -> float:
        """How many seconds ago the primary had more than the replica has now, since the last `note`; infinite when it
        has followed and does so no more, NaN when the servers do not tell. Raises what the driver raises.
        """
        low, high = 0, len(self._ahead)
        middle = high - 1  # the newest first: mostly it is reached, and after a failover others may never be
        while low < high:
            reached = await driver.scalar(replica, driver.REACHED.format(self._ahead[middle][1]))
            if reached is None:
                return self.unknown
            self.known = True
            low, high = (middle + 1, high) if reached else (low, middle)
            middle = (low + high) // 2
        if middle < 0:
            await driver.ping(replica)
        del self._ahead[:low]
        if self._ahead:
            return monotonic() - self._ahead[0][0]
        return 0.0 if self.known else nan

    @property
    def unknown(self) -> float:
        """The lag of a replica that does not tell."""
        return inf if self.known else nan
