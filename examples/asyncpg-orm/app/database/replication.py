"""How far a PostgreSQL replica is behind."""

from app.database import driver

# The age of the last transaction is no lag while the primary has written nothing since: who has replayed all that it
# was sent, and is still being sent, is not behind.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-INFO-TABLE
_SECONDS_BEHIND = """SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'Infinity') END::float8"""


async def seconds_behind(connection: driver.RawConnection) -> float:
    """0 for a server that follows no other one; infinite for one that has replayed nothing yet."""
    return float(await driver.scalar(connection, _SECONDS_BEHIND))
