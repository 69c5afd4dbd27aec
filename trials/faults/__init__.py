"""What is done to a service and its server, each by a function that gives the balance of the books.

In the order of the table. `SHORT` is what `make test` does of it, with small loads.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from books import Balance

from faults import commits, disks, loads, networks, processes, servers
from faults.world import World

Fault: TypeAlias = Callable[[World], Awaitable[Balance]]

FAULTS: dict[str, Fault] = {
    "COMMIT fails": commits.fails,
    "the answer of COMMIT is lost": commits.answer_is_lost,
    "cut in mid-COMMIT": commits.cut_in_commit,
    "cut in mid-statement": commits.cut_in_statement,
    "read after write, another connection": commits.read_after_write,
    "2,000 clients hang up": commits.hang_ups,
    "server killed (-9) under load": servers.killed,
    "server restarts under load": servers.stopped,
    "server restarts while idle": servers.restarts_while_idle,
    "one session killed, again and again": servers.sessions_killed,
    "process of a session killed (-9)": servers.process_killed,
    "server out of connections": servers.out_of_connections,
    "server is read-only": servers.read_only,
    "disk full": disks.full,
    "pool exhausted": loads.pool_exhausted,
    "storm of locks, deadlocks, SERIALIZABLE": loads.lock_storm,
    "table locked, statement timeout": loads.lock_held,
    "memory limit, large export and import": loads.memory_limit,
    "black hole: requests": networks.swallows_requests,
    "black hole: answers": networks.swallows_answers,
    "server frozen (SIGSTOP)": networks.server_freezes,
    "slow network: 200 ms, 5 % lost": networks.slow,
    "DNS fails": networks.name_fails,
    "DNS moves": networks.name_moves,
    "SIGTERM under load": processes.terminated,
    "worker killed (-9)": processes.worker_killed,
    "two releases across a migration": processes.two_releases,
    "clock jumps": processes.clock_jumps,
}
SHORT = ("the answer of COMMIT is lost", "server killed (-9) under load")
PROCESS_PER_SESSION = ("process of a session killed (-9)",)
"""Faults that only a server with a process for each session can have."""
