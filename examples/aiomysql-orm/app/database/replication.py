"""How far a replica of MySQL or MariaDB is behind."""

import aiomysql

from app.database import driver

_COLUMNS = ("Seconds_Behind_Source", "Seconds_Behind_Master")  # MySQL's, MariaDB's


async def seconds_behind(connection: driver.RawConnection) -> float:
    """0 for a server that follows no other one; infinite for one that has stopped, or has lost its source.

    The user needs REPLICATION CLIENT, which MariaDB calls REPLICA MONITOR.
    """
    async with connection.cursor(aiomysql.DictCursor) as cursor:
        await cursor.execute("SHOW REPLICA STATUS")
        channels = await cursor.fetchall()
    seconds = [channel[name] for channel in channels for name in _COLUMNS if name in channel]
    return max((float("inf") if behind is None else float(behind) for behind in seconds), default=0.0)
