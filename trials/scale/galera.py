"""MariaDB Galera: three nodes that all take writes, HAProxy in front.

Migrations from everywhere at once are one at a time; transactions that meet another node's are run again or refused; a
node that is killed loses nothing that was acknowledged, and is used again when it is back; one that has lost the others
is told apart by a 503.
"""

import asyncio
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent

import httpx
from books import Books, balance
from harness import ACCESS_STYLES
from packages import Unpacked, unpacked
from services import ADMINISTER, Service, database_url, free_port

from scale.nodes import Node, ask, balanced, checks, until
from scale.rows import Env, Row

# As behind the usual clustercheck: synced with the others (4), and it takes statements.
SYNCED = """SELECT SUM((VARIABLE_NAME, VARIABLE_VALUE) IN (('WSREP_LOCAL_STATE', '4'), ('WSREP_READY', 'ON'))) = 2
    FROM information_schema.GLOBAL_STATUS"""
SIZE = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'WSREP_CLUSTER_SIZE'"
# Root's daemon would serve as nobody, who may not write to the data.
PROGRAM = """#!/bin/sh
case $* in *--daemon*) set -- "$@" --dparam=uid=$(id -u) --dparam=gid=$(id -g) ;; esac
exec {} "$@"
"""
SECONDS = 5.0
"""Of load, before and after a fault."""


class Galera:
    """Three nodes of one cluster, each with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.files = unpacked("bookworm", "mariadb-server-core", "mariadb-client-core", "galera-4", "rsync")
        self.version = f"Galera, MariaDB {self.files.version('usr/sbin/mariadbd')}"
        programs = _programs(folder / "bin", self.files)
        ports = [(free_port(), free_port(), free_port(), free_port()) for _ in range(3)]
        addresses = ",".join(f"127.0.0.1:{group}" for _, group, _, _ in ports)
        self.nodes: list[Node] = []
        for name, (port, group, ist, sst) in zip(("one", "two", "three"), ports, strict=True):
            home = folder / name
            home.mkdir()
            options = home / "my.cnf"
            options.write_text(self._options(home, name, port, group, ist, sst, addresses))
            command = [*self.files.program("usr/sbin/mariadbd"), f"--defaults-file={options}"]
            environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
            self.nodes.append(Node(name, command, home, port, environment))

    def _options(self, home: Path, name: str, port: int, group: int, ist: int, sst: int, addresses: str) -> str:
        share = self.files.root / "usr/share/mysql"
        # Shorter than the defaults, so that the trial is: a node that says nothing for a second is left out.
        evs = (
            "evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1S;"
            "evs.inactive_timeout=PT3S;evs.inactive_check_period=PT0.2S"
        )
        return dedent(f"""\
            [mariadbd]
            user = root
            datadir = {home}/data
            port = {port}
            bind-address = 127.0.0.1
            socket = {home}/s
            pid-file = {home}/pid
            lc-messages-dir = {share}
            character-sets-dir = {share}/charsets
            plugin-dir = {self.files.root}/usr/lib/mysql/plugin
            max-connections = 200
            innodb-buffer-pool-size = 64M
            innodb-log-file-size = 32M
            innodb-flush-log-at-trx-commit = 2
            binlog-format = ROW
            innodb-autoinc-lock-mode = 2
            wsrep-on = ON
            wsrep-provider = {self.files.root}/usr/lib/galera/libgalera_smm.so
            wsrep-cluster-name = trial
            wsrep-cluster-address = gcomm://{addresses}
            wsrep-node-name = {name}
            wsrep-node-address = 127.0.0.1:{group}
            wsrep-sst-method = rsync
            wsrep-sst-receive-address = 127.0.0.1:{sst}
            wsrep-sync-wait = 1
            wsrep-provider-options = "base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{ist};gcache.size=64M;{evs}"
            """)

    def start(self) -> None:
        first, *others = self.nodes
        _initialize(first, self.files)
        first.start("--wsrep-new-cluster")
        first.wait_until_used()
        for node in others:  # one by one: the node that gives its state to another takes no writes meanwhile
            (node.folder / "data").mkdir()
            node.start()
            node.wait_until_used()

    def start_again(self, node: Node) -> None:
        """From where its own log ends, as the package's service does: the others send it what it has missed."""
        with tempfile.NamedTemporaryFile("r") as log:
            subprocess.run(
                [*node.command, "--wsrep-recover", f"--log-error={log.name}"],
                check=True,
                timeout=60,
                capture_output=True,
            )
            found = re.search(r"Recovered position:\s*(\S+)", log.read())
        node.start(*([f"--wsrep-start-position={found[1]}"] if found else []))
        node.wait_until_used()


def _programs(folder: Path, server: Unpacked) -> Path:
    """What a node calls when it joins: the package's scripts, with the programs that these need."""
    scripts = unpacked("bookworm", "mariadb-server", libraries=False).root / "usr/bin"
    loaders = folder / "loaders"
    loaders.mkdir(parents=True)
    for script in scripts.glob("wsrep_sst_*"):
        (folder / script.name).symlink_to(script)
    for name in ("rsync", "my_print_defaults"):
        loader, *arguments = server.program(f"usr/bin/{name}")
        (loaders / name).symlink_to(loader)  # the scripts look for a process of this name
        program = folder / name
        program.write_text(PROGRAM.format(" ".join([str(loaders / name), *arguments])))
        program.chmod(0o755)
    return folder


def _initialize(node: Node, files: Unpacked) -> None:
    """What mariadb-install-db does, which needs programs of another package: root has no password."""
    (node.folder / "data").mkdir()
    script = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
    for name in ("system_tables", "performance_tables", "system_tables_data"):
        script += next((files.root / "usr/share/mysql").glob(f"m*_{name}.sql")).read_bytes()
    command = [*node.command, "--bootstrap", "--wsrep-on=OFF"]
    subprocess.run(command, input=script, check=True, capture_output=True, timeout=60)


@contextmanager
def cluster(env: Env) -> Iterator[tuple[Galera, str]]:
    """Running, with the administrator's URL by way of HAProxy."""
    with env.new_folder() as folder, ExitStack() as stack:
        galera = Galera(folder)
        for node in galera.nodes:
            stack.callback(node.kill)
        stack.enter_context(checks(env.service("aiomysql", "orm"), galera.nodes, SYNCED))
        galera.start()
        yield galera, stack.enter_context(balanced(folder, galera.nodes))


def run(env: Env) -> list[Row]:
    rows = []
    with cluster(env) as (galera, proxy):
        for access in ACCESS_STYLES:
            service = env.service("aiomysql", access)
            url = database_url(proxy, f"orders_{access}")
            service.create_database(url)
            rows += [
                migrations(galera, service, access, url),
                conflicts(galera, service, access, url),
                node_killed(galera, service, access, url),
                node_alone(galera, service, access, url),
            ]
    return rows


def migrations(galera: Galera, service: Service, access: str, url: str) -> Row:
    """Eight at once over all nodes, after one that was killed while it had the lock."""
    row = Row(galera.version, "8 migrations at once over 3 nodes", f"aiomysql-{access}")
    alembic = [service.executable("alembic"), "upgrade", "head"]
    endless = service.path / "migrations" / "versions" / "9999_endless.py"
    head = sorted(path.name for path in endless.parent.glob("0*.py"))[-1].partition("_")[0]
    everywhere = [database_url(galera.nodes[number % 3].url, url.rpartition("/")[2]) for number in range(8)]
    endless.write_text(
        f"from alembic import op\n\nrevision, down_revision = '9999', '{head}'\n\n\n"
        "def upgrade() -> None:\n    op.execute('SELECT SLEEP(60)')\n"
    )
    with tempfile.TemporaryFile("w+") as log:
        holder = subprocess.Popen(
            alembic, cwd=service.path, env={**service.variables, "DATABASE_URL": everywhere[0]}, stdout=log, stderr=log
        )
        try:
            sleeps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(60)'"
            until(lambda: ask(service, galera.nodes[0].url, sleeps) == [[1]], "the endless migration did not start", 90)
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            endless.unlink()
    service.run(service.executable("alembic"), "downgrade", "base", DATABASE_URL=everywhere[1])
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda each: service.run(*alembic, DATABASE_URL=each), everywhere))
    ran = Counter(re.findall(r"Running upgrade \S* -> (\w+)", "".join(said)))
    if set(ran.values()) != {1} or len(ran) != len(list(endless.parent.glob("0*.py"))):
        row.failed = f"they ran {dict(ran)}"
    row.said = (
        f"{len(ran)} migrations ran once each, {sum(bool(ran) for ran in map(_ran, said))} of 8 processes ran them"
    )
    return row


def _ran(said: str) -> list[str]:
    return re.findall("Running upgrade", said)


def conflicts(galera: Galera, service: Service, access: str, url: str) -> Row:
    """Many at the same few rows, by way of all nodes: the notes that are handed around stay the same."""

    async def load(base: str) -> tuple[Books, Row]:
        books = Books(base)
        async with books.open():
            ids = []
            for number in range(3):
                person = {"name": f"{number}", "email": f"hot-{number}@example.com", "specialty": "value 0"}
                created = await books.ask("POST", "/developers", json=person)
                assert isinstance(created, httpx.Response), created
                ids.append(created.json()["id"])
                for _ in range(4):
                    await books.ask("POST", f"/developers/{ids[-1]}/notes", json={"text": "to hand on"})
            end = time.monotonic() + SECONDS

            async def hand_around(number: int) -> None:
                while time.monotonic() < end:
                    one, other = books.random.sample(ids, 2)
                    if number % 2:
                        await books.ask("PATCH", f"/developers/{one}", json={"specialty": f"value {number}"})
                    else:
                        transfer = {"from_developer_id": one, "to_developer_id": other}
                        await books.ask("POST", "/notes/transfer", json=transfer)

            async with books.load(writers=4, readers=2), asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(hand_around(number))
        found = await balance(books, service, url)
        return books, Row.of(found, galera.version, "conflicts of 3 nodes at COMMIT", f"aiomysql-{access}")

    before = _conflicts(galera, service)
    with service.serving(url) as client:
        books, row = asyncio.run(load(str(client.base_url).rstrip("/")))
        retries = re.findall(r"^database_transactions_retried_total (\S+)", client.get("/metrics").text, re.MULTILINE)
    met = _conflicts(galera, service) - before
    notes = ask(service, url, "SELECT COUNT(*), COUNT(DISTINCT developer_id) FROM notes")
    strange = {status: count for status, count in books.statuses.items() if status not in (200, 201, 204, 404, 503)}
    wrong = [f"{notes[0][0]} notes of 12 are left"] if notes[0][0] != 12 else []
    wrong += [f"answers were {strange}"] if strange else []
    wrong += ["no transaction met another node's"] if not met else []
    row.failed = "; ".join(filter(None, (row.failed, *wrong)))
    row.said = (
        f"{met} met another node's, {float(retries[0]) if retries else 0:.0f} run again, {books.statuses[503]} 503"
    )
    return row


def _conflicts(galera: Galera, service: Service) -> int:
    query = """SELECT CAST(SUM(VARIABLE_VALUE) AS SIGNED) FROM information_schema.GLOBAL_STATUS
        WHERE VARIABLE_NAME IN ('WSREP_LOCAL_CERT_FAILURES', 'WSREP_LOCAL_BF_ABORTS')"""
    return sum(int(ask(service, node.url, query)[0][0]) for node in galera.nodes)


def node_killed(galera: Galera, service: Service, access: str, url: str) -> Row:
    """Under load, and started again: the others go on without it, and it is used again."""
    victim, survivor = galera.nodes[1], galera.nodes[0]

    async def load(base: str) -> Row:
        books = Books(base)
        async with books.load(writers=6, readers=2):
            await asyncio.sleep(SECONDS)
            victim.kill()
            await asyncio.to_thread(until, lambda: _size(survivor, service) == 2, "the others did not go on alone")
            books.mark()
            await books.recovered()
            await asyncio.to_thread(galera.start_again, victim)
            ours = f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{url.rpartition('/')[2]}'"
            await asyncio.to_thread(until, lambda: ask(service, victim.url, ours)[0][0] > 0, "it is not used again")
        return Row.of(
            await balance(books, service, url), galera.version, "node killed (-9), rejoins", f"aiomysql-{access}"
        )

    with service.serving(url, DATABASE_POOL_RECYCLE="3") as client:
        return asyncio.run(load(str(client.base_url).rstrip("/")))


def _size(node: Node, service: Service) -> int:
    return int(ask(service, node.url, SIZE)[0][0])


def node_alone(galera: Galera, service: Service, access: str, url: str) -> Row:
    """The service on one node, which loses the others (error 1047) and finds them again."""
    node = galera.nodes[2]
    row = Row(galera.version, "node without the others (1047), rejoins", f"aiomysql-{access}")
    isolate = "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'"
    person = {"name": "Ada", "email": "alone@example.com", "specialty": "analysis"}
    wrong = []
    with service.serving(database_url(node.url, url.rpartition("/")[2])) as client:
        client.get("/developers").raise_for_status()
        service.administer(node.url, isolate.format(1))
        until(lambda: not node.is_used(), "the node did not leave the cluster")
        while client.get("/developers").json()["type"] == "urn:problem:lock-timeout":
            time.sleep(0.1)  # wsrep_sync_wait, until the node has found out why it waits (1205)
        for method, content in (("GET", None), ("POST", person)) * 2:
            answer = client.request(method, "/developers", json=content)
            if (answer.status_code, answer.json()["type"]) != (503, "urn:problem:server-gone"):
                wrong.append(f"{method} was answered {answer.status_code} {answer.text}")
            if 'database_pool_open{pool="primary"} 0.0' not in client.get("/metrics").text:
                wrong.append(f"{method} kept its connection")
        if client.get("/health/ready").status_code != 503:
            wrong.append("it says that it is ready")
        # As behind a pooler: nothing is asked of a new connection, which the node would refuse.
        service.run(
            service.executable("python"), "-c", ADMINISTER, node.url, isolate.format(0), DATABASE_EXTERNAL_POOLER="true"
        )
        node.wait_until_used()
        created = client.post("/developers", json=person)
        if created.status_code != 201:
            wrong.append(f"afterwards POST was answered {created.status_code} {created.text}")
        else:
            found = ask(service, url, "SELECT COUNT(*) FROM developers WHERE email = 'alone@example.com'")
            wrong += [] if found == [[1]] else ["what it stored afterwards is not on the others"]
    row.failed, row.said = "; ".join(wrong), "503 server-gone and no connection kept, 201 as soon as it is back"
    return row
