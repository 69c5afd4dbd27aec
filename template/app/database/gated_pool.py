"""A pool with admission in front: who was admitted gets a connection in time or an error."""

from typing import TYPE_CHECKING

from app.database.admission import Admission, Task
from app.database.backend import Backend
from app.database.connector import Connector
from app.database.metrics import Status

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings


class GatedPool:
    """The connections to one server."""

    def __init__(self, target: "Target", settings: "DatabaseSettings", deadlines: dict[Task, float]) -> None:
        self.admission = Admission(settings.pool_size + settings.max_overflow, settings.pool_timeout, deadlines)
        self._connector = Connector(target, settings, self.admission)
        self.backend = Backend(settings, self._connector)

    def status(self) -> Status:
        admission = self.admission
        return Status(admission.places, admission.inside, admission.waiting, self._connector.open_connections)

    async def close(self) -> None:
        await self._connector.stop()
        await self.backend.close()
