"""One migration at a time, on one server or on a cluster of them.

GET_LOCK is one server's own. On Galera it is a row that a transaction on a connection of its own has inserted and does
not commit: streaming replication locks it on all nodes, until the transaction, its client or its node ends. A group
with several primaries has no lock for all of them, and migrations are refused there.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import Retryable, driver
from migrations import way_out

WAIT = 600.0  # seconds

_GALERA = "SHOW STATUS WHERE Variable_name = 'wsrep_connected' AND Value = 'ON'"
_SEVERAL_PRIMARIES = "SHOW VARIABLES WHERE Variable_name = 'group_replication_single_primary_mode' AND Value = 'OFF'"
_TABLE = "CREATE TABLE IF NOT EXISTS migration_lock (id INT PRIMARY KEY) ENGINE = InnoDB"
# https://mariadb.com/docs/galera-cluster/galera-management/performance-tuning/using-streaming-replication-for-large-transactions
_STREAMING = f"""SET SESSION
    wsrep_trx_fragment_unit = 'statements', wsrep_trx_fragment_size = 1, innodb_lock_wait_timeout = {WAIT:.0f}"""
_LOCK = "INSERT INTO migration_lock VALUES (1)"
_HAS_IT = "SELECT COUNT(*) FROM migration_lock"
# Whatever was written before it on another node is read: by any statement, 15 says.
_CAUSAL = "SET SESSION wsrep_sync_wait = 15"


@contextmanager
def of(connection: Connection) -> Iterator[Callable[[], bool]]:
    """To be called at the begin of each transaction of the connection: whether it has the lock, until this block ends.

    Raises SystemExit where there is none.
    """
    galera = connection.execute(text(_GALERA)).first()
    several = connection.execute(text(_SEVERAL_PRIMARIES)).first()
    connection.rollback()
    if several:
        raise SystemExit(
            "This group has several primaries, and no lock of migrations holds for all of them: let it have one, by"
            " SELECT group_replication_switch_to_single_primary_mode(), and run it again."
        )
    if not galera:
        yield (lambda: connection.execute(text(driver.MIGRATION_LOCK)).scalar() == 1)
        return
    with connection.engine.connect() as holder:
        held = False

        def take() -> bool:
            nonlocal held
            held = held or _insert(holder)
            connection.execute(text(_CAUSAL))
            return held and holder.execute(text(_HAS_IT)).scalar() == 1

        yield take


def _insert(holder: Connection) -> bool:
    holder.execute(text(_TABLE))
    holder.execute(text(_STREAMING))
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            holder.execute(text(_LOCK))
            return True
        except DBAPIError as error:  # another node's was first, which shows as a deadlock
            holder.rollback()
            if not isinstance(way_out.our_error(error), Retryable):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    return False
