"""Moving many rows: docs/bulk.md says what each function promises and costs.

Nothing else of the data layer imports this package, so a service that moves no data may delete it with its tests.
"""

from app.database.bulk.insert import bulk_insert
from app.database.bulk.stream import stream
from app.database.bulk.update import bulk_update
from app.database.bulk.upsert import Upserted, upsert

__all__ = ["Upserted", "bulk_insert", "bulk_update", "stream", "upsert"]
