"""A server and a replica that follows it by the server's own replication, for services under test."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from services import Service, database_url, with_server_options

# A binary log with GTIDs, which the service's own private server does not keep.
LOGGING = ("--log-bin=binlog", "--loose-gtid-mode=ON", "--loose-enforce-gtid-consistency=ON")


@dataclass
class Replicated:
    """The administrator's URLs, and the statements by which the replica stops to replay and goes on."""

    service: Service
    folder: Path
    primary: str
    replica: str
    stop: str
    go_on: str
    _running: ExitStack = field(default_factory=ExitStack)

    def pause(self) -> None:
        self.service.administer(self.replica, self.stop)

    def resume(self) -> None:
        self.service.administer(self.replica, self.go_on)

    def end_replica(self) -> None:
        self._running.close()


@contextmanager
def replicated(service: Service) -> Iterator[Replicated]:
    """A primary with the service's database, migrated, and its replica."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:  # not pytest's: the servers' user looks into it
        folder = Path(name)
        folder.chmod(0o711)
        of_postgresql = "postgres" in (service.path / "compose.yaml").read_text()
        servers = (_streaming if of_postgresql else _by_binary_log)(service, folder, stack)
        stack.enter_context(servers._running)
        yield servers


def _streaming(service: Service, folder: Path, stack: ExitStack) -> Replicated:
    """https://www.postgresql.org/docs/current/warm-standby.html#STANDBY-SERVER-SETUP."""
    with service.dev_server(folder / "one") as server:
        service.migrate(database_url(server))
    subprocess.run(["cp", "-a", folder / "one", folder / "two"], check=True)
    primary = stack.enter_context(service.dev_server(folder / "one"))
    address, data = httpx.URL(primary), folder / "two" / "data"
    (data / "standby.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = 'host={address.host} port={address.port} user={address.username}'\n")
    running = ExitStack()
    replica = running.enter_context(service.dev_server(folder / "two"))
    pause, resume = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"
    return Replicated(service, folder, primary, replica, pause, resume, running)


def _by_binary_log(service: Service, folder: Path, stack: ExitStack) -> Replicated:
    """The replica is one before there is anything to follow, so nothing has to be copied."""
    logging_ones = [
        with_server_options(service, folder / f"server-{number}", *LOGGING, f"--server-id={number}")
        for number in (1, 2)
    ]
    primary = stack.enter_context(logging_ones[0].dev_server(folder / "one"))
    running = ExitStack()
    replica = running.enter_context(logging_ones[1].dev_server(folder / "two"))
    port = httpx.URL(primary).port
    if service.environment["MYSQLD"]:
        source = f"SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1"
        follow = f"CHANGE REPLICATION SOURCE TO {source}, GET_SOURCE_PUBLIC_KEY = 1"
    else:
        source = f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'root', MASTER_USE_GTID = slave_pos"
        follow = f"CHANGE MASTER TO {source}"
    service.administer(replica, follow, "START REPLICA")
    service.migrate(database_url(primary))
    return Replicated(service, folder, primary, replica, "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD", running)
