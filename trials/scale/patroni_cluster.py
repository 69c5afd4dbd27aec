"""Three PostgreSQL members that Patroni manages by way of etcd, with HAProxy in front, all on this machine.

https://patroni.readthedocs.io/en/latest/yaml_configuration.html. The limits are the shortest that Patroni takes, so
that a leader that was killed is replaced after 20 seconds and some more. PostgreSQL is the one of a service's
development.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from packages import unpacked
from services import CommandFailed, Service, free_port, python_called

from scale.servers import ACCOUNT, HAProxy, Program, haproxy, own

REQUIREMENTS = ("patroni[etcd3]>=4.1", "psycopg[binary]>=3.3")
CHECKS = """
    option httpchk GET /primary
    http-check expect status 200
"""
FIND = "from dev import binaries; print(binaries.find())"
SETTINGS = {"max_connections": 200, "fsync": False, "unix_socket_directories": "", "shared_buffers": "64MB"}


@dataclass
class Member:
    """One of three: Patroni, and the PostgreSQL that it runs."""

    name: str
    configuration: Path
    data: Path
    port: int
    rest: int
    program: Program | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres:postgres@127.0.0.1:{self.port}/postgres"

    def ask(self, path: str) -> Any:
        """What its REST API answers, None where it does not answer at all."""
        with suppress(httpx.TransportError, ValueError):
            return httpx.get(f"http://127.0.0.1:{self.rest}{path}", trust_env=False, timeout=5).json()
        return None

    def stop(self) -> None:
        if self.program:
            self.program.stop()

    def kill(self) -> None:
        """SIGKILL to Patroni and to PostgreSQL, as when the machine is gone."""
        assert self.program
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            self.program.process.send_signal(signal.SIGKILL)
            os.kill(postmaster, signal.SIGKILL)
        self.program.kill()


@dataclass
class Cluster:
    members: list[Member]
    proxy: HAProxy
    patroni: list[str]
    """The command that runs a member."""
    versions: str
    folder: Path

    def leader(self, *, other_than: str = "", limit: float = 90) -> Member:
        """The member that is the leader, and not the one of that name, once there is one."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            for member in self.members:
                if member.name != other_than and (member.ask("/patroni") or {}).get("role") == "primary":
                    return member
            time.sleep(0.05)
        raise CommandFailed(f"Patroni: no leader within {limit:g} s\n{self.state()}")

    def whole(self, *, synchronous: bool, limit: float = 120) -> None:
        """Wait until all three have their parts, and one of them is the synchronous standby, if there is to be one."""
        until = time.monotonic() + limit
        parts = sorted(["leader", "sync_standby" if synchronous else "replica", "replica"])
        while not self._is_whole(parts):
            if time.monotonic() > until:
                raise CommandFailed(f"Patroni: not whole within {limit:g} s\n{self.state()}")
            time.sleep(0.2)

    def _is_whole(self, parts: list[str]) -> bool:
        for member in self.members:
            members = (member.ask("/cluster") or {}).get("members", [])
            states = {each["state"] for each in members}
            return states <= {"running", "streaming"} and sorted(each["role"] for each in members) == parts
        return False

    def state(self) -> str:
        return json.dumps([member.ask("/cluster") for member in self.members], indent=1)

    def start(self, member: Member) -> None:
        """Again, after it was killed."""
        member.program = Program([*self.patroni, str(member.configuration)], self.folder, **ACCOUNT)

    def synchronous(self, on: bool) -> None:
        leader = self.leader()
        httpx.patch(
            f"http://127.0.0.1:{leader.rest}/config", json={"synchronous_mode": on}, trust_env=False, timeout=10
        ).raise_for_status()

    def switch_over(self) -> None:
        """To the synchronous standby."""
        leader = self.leader()
        members = leader.ask("/cluster")["members"]
        candidate = next(member["name"] for member in members if member["role"] == "sync_standby")
        answer = httpx.post(
            f"http://127.0.0.1:{leader.rest}/switchover",
            json={"leader": leader.name, "candidate": candidate},
            trust_env=False,
            timeout=60,
        )
        if answer.status_code != 200:
            raise CommandFailed(f"Patroni: the switchover failed: {answer.text}")

    def by_several_hosts(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"postgresql://postgres:postgres@{hosts}/{database}"

    def by_proxy(self, database: str) -> str:
        return f"postgresql://postgres:postgres@127.0.0.1:{self.proxy.port}/{database}"


@contextmanager
def cluster(service: Service, folder: Path) -> Iterator[Cluster]:
    """A whole cluster in synchronous mode, with the PostgreSQL of the service's development."""
    folder.chmod(0o755)
    python = _environment(service, folder)
    binaries = Path(service.run(service.executable("python"), "-c", FIND).strip()).parent
    with ExitStack() as stack:
        etcd = stack.enter_context(_etcd(folder))
        members = [_member(name, folder, etcd, binaries) for name in ("one", "two", "three")]
        patroni, logs = [str(python.with_name("patroni"))], own(folder / "logs")
        for member in members:
            member.program = Program([*patroni, str(member.configuration)], logs, **ACCOUNT)
            stack.callback(member.stop)
        options = "check port {} inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions"
        servers = {member.port: options.format(member.rest) for member in members}
        proxy = stack.enter_context(haproxy(folder, servers, CHECKS, limit=120))
        made = Cluster(members, proxy, patroni, _versions(python, binaries), logs)
        made.whole(synchronous=True)
        yield made


def _member(name: str, folder: Path, etcd: int, binaries: Path) -> Member:
    home, port, rest = own(folder / name), free_port(), free_port()
    account = {"username": "postgres", "password": "postgres"}
    replication = {"username": "replicator", "password": "replicator"}
    configuration = {
        "scope": "orders",
        "name": name,
        "restapi": {"listen": f"127.0.0.1:{rest}", "connect_address": f"127.0.0.1:{rest}"},
        "etcd3": {"host": f"127.0.0.1:{etcd}"},
        "bootstrap": {
            "dcs": {
                "ttl": 20,
                "loop_wait": 1,
                "retry_timeout": 3,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True, "parameters": SETTINGS},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{port}",
            "connect_address": f"127.0.0.1:{port}",
            "data_dir": str(home / "data"),
            "bin_dir": str(binaries),
            "pgpass": str(home / "pgpass"),
            "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256"],
            "authentication": {"superuser": account, "replication": replication},
            "parameters": SETTINGS,
        },
    }
    file = folder / f"{name}.yml"
    file.write_text(json.dumps(configuration, indent=1))  # which is YAML
    return Member(name, file, home / "data", port, rest)


def _versions(python: Path, binaries: Path) -> str:
    patroni = subprocess.run([python, "-m", "patroni", "--version"], capture_output=True, text=True, check=True).stdout
    postgres = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    etcd = unpacked("bookworm", "etcd-server").version("usr/bin/etcd")
    return f"PostgreSQL {postgres.split()[-1]}, Patroni {patroni.split()[-1]}, etcd {etcd}"


def _environment(service: Service, folder: Path) -> Path:
    """The Python of an environment with Patroni in it, which the members' user can run."""
    python = folder / "patroni" / "bin" / "python"
    service.run("uv", "venv", "--quiet", "--python", str(python_called("system")), str(folder / "patroni"))
    service.run("uv", "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS)
    return python


@contextmanager
def _etcd(folder: Path) -> Iterator[int]:
    client, peer = free_port(), free_port()
    urls = {
        "--listen-client-urls": client,
        "--advertise-client-urls": client,
        "--listen-peer-urls": peer,
        "--initial-advertise-peer-urls": peer,
    }
    options = [word for name, port in urls.items() for word in (name, f"http://127.0.0.1:{port}")]
    command = [*unpacked("bookworm", "etcd-server").program("usr/bin/etcd"), "--data-dir", str(folder / "etcd")]
    command += ["--initial-cluster", f"default=http://127.0.0.1:{peer}", *options]
    with Program(command, folder) as program:

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return '"true"' in httpx.get(f"http://127.0.0.1:{client}/health", trust_env=False).text
            return False

        program.wait(answers)
        yield client
