"""MySQL Group Replication: three members of which one is the primary, HAProxy in front.

A primary that is killed or handed over under load loses nothing that was acknowledged, and what the members say in
between is a 503. Migrations are one at a time on the primary, and refused in a group that has several.
"""

import asyncio
import re
import shutil
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent

from books import Books, balance
from harness import ACCESS_STYLES
from packages import unpacked
from services import CommandFailed, Service, database_url, free_port

from scale.nodes import Node, ask, balanced, checks, listens, until
from scale.rows import Env, Row

MEMBERS = "SELECT MEMBER_ID, MEMBER_PORT, MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members"
IS_PRIMARY = f"""SELECT COUNT(*) FROM ({MEMBERS}) m
    WHERE MEMBER_ID = @@server_uuid AND MEMBER_STATE = 'ONLINE' AND MEMBER_ROLE = 'PRIMARY'"""
SECONDS = 4.0
"""Of load, before a fault."""


class Group:
    """Three members of one group, each with a folder of its own."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.files = unpacked("sid", "mysql-server-core")
        self.version = f"Group Replication, MySQL {self.files.version('usr/sbin/mysqld', '--no-defaults', '--version')}"
        self.service = service
        ports = [(free_port(), free_port()) for _ in range(3)]
        seeds = ",".join(f"127.0.0.1:{group}" for _, group in ports)
        name = uuid.uuid4()
        self.nodes: list[Node] = []
        for number, (port, group) in enumerate(ports, 1):
            home = folder / str(number)
            home.mkdir()
            (home / "my.cnf").write_text(self._options(home, number, port, group, seeds, name))
            command = [*self.files.program("usr/sbin/mysqld"), f"--defaults-file={home / 'my.cnf'}"]
            self.nodes.append(Node(f"member-{number}", command, home, port))
        first = folder / "1" / "data"
        subprocess.run([*self.nodes[0].command, "--initialize-insecure"], check=True, capture_output=True, timeout=120)
        (first / "auto.cnf").unlink()  # who a member is
        for number in (2, 3):
            shutil.copytree(first, folder / str(number) / "data")

    def _options(self, home: Path, number: int, port: int, group: int, seeds: str, name: uuid.UUID) -> str:
        share = self.files.root / "usr/share/mysql"
        return dedent(f"""\
            [mysqld]
            user = root
            datadir = {home}/data
            port = {port}
            bind-address = 127.0.0.1
            socket = {home}/s
            pid-file = {home}/pid
            mysqlx = OFF
            lc-messages-dir = {share}
            character-sets-dir = {share}/charsets
            plugin-dir = {self.files.root}/usr/lib/mysql/plugin
            secure-file-priv = NULL
            max-connections = 200
            innodb-buffer-pool-size = 64M
            innodb-redo-log-capacity = 32M
            server-id = {number}
            gtid-mode = ON
            enforce-gtid-consistency = ON
            report-host = 127.0.0.1
            loose-plugin-load-add = group_replication.so
            loose-group-replication-group-name = {name}
            loose-group-replication-local-address = 127.0.0.1:{group}
            loose-group-replication-group-seeds = {seeds}
            loose-group-replication-ip-allowlist = 127.0.0.1
            loose-group-replication-start-on-boot = OFF
            loose-group-replication-recovery-get-public-key = ON
            loose-group-replication-member-expel-timeout = 0
            loose-group-replication-member-weight = {90 - number}
            """)

    def start(self) -> None:
        for node in self.nodes:
            self.boot(node)
            self.service.administer(
                node.url, "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root' FOR CHANNEL 'group_replication_recovery'"
            )
        first, *others = self.nodes
        self.service.administer(
            first.url,
            "SET GLOBAL group_replication_bootstrap_group = ON",
            "START GROUP_REPLICATION",
            "SET GLOBAL group_replication_bootstrap_group = OFF",
        )
        for node in others:
            self.join(node)

    def boot(self, node: Node) -> None:
        node.start().wait(lambda: listens(node.port))

    def join(self, node: Node) -> None:
        self.service.administer(node.url, "START GROUP_REPLICATION")
        until(lambda: self.states(node).get(node.port) == "ONLINE", f"{node.name} did not join")

    def states(self, witness: Node) -> dict[int, str]:
        """Of all members, by their ports, as one of them sees them."""
        return {int(port): state for _, port, state, _ in ask(self.service, witness.url, MEMBERS)}

    def primary(self) -> Node:
        """By their own checks. Raises CommandFailed when there is none for a minute."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for node in self.nodes:
                if node.is_used():
                    return node
            time.sleep(0.05)
        raise CommandFailed("no member became the primary within a minute")

    def hand_over(self, node: Node) -> None:
        ids = {int(port): member for member, port, _, _ in ask(self.service, node.url, MEMBERS)}
        ask(self.service, node.url, f"SELECT group_replication_set_as_primary('{ids[node.port]}')")


@contextmanager
def group(env: Env) -> Iterator[tuple[Group, str]]:
    """Running, with the administrator's URL by way of HAProxy."""
    service = env.service("aiomysql", "orm")
    with env.new_folder() as folder, ExitStack() as stack:
        members = Group(folder, service)
        for node in members.nodes:
            stack.callback(node.kill)
        stack.enter_context(checks(service, members.nodes, IS_PRIMARY))
        members.start()
        yield members, stack.enter_context(balanced(folder, members.nodes))


def run(env: Env) -> list[Row]:
    rows = []
    with group(env) as (members, proxy):
        for access in ACCESS_STYLES:
            service = env.service("aiomysql", access)
            url = database_url(proxy, f"orders_{access}")
            service.create_database(url)
            rows += [
                migrations(members, service, access, url),
                primary_killed(members, service, access, url),
                handed_over(members, service, access, url),
            ]
    return rows


def migrations(members: Group, service: Service, access: str, url: str) -> Row:
    """Refused while there are several primaries; then eight at once on the one."""
    row = Row(members.version, "8 migrations at once, one primary", f"aiomysql-{access}")
    alembic = [service.executable("alembic"), "upgrade", "head"]
    node = members.primary()
    ask(service, node.url, "SELECT group_replication_switch_to_multi_primary_mode()")
    try:
        service.run(*alembic, DATABASE_URL=url)
        row.failed = "it ran in a group with several primaries"
    except CommandFailed as refused:
        if "several primaries" not in str(refused):
            row.failed = str(refused)
    ids = {int(port): member for member, port, _, _ in ask(service, node.url, MEMBERS)}
    ask(service, node.url, f"SELECT group_replication_switch_to_single_primary_mode('{ids[node.port]}')")
    until(lambda: members.primary() is node, "it did not become the one primary again")
    time.sleep(0.5)  # two checks of HAProxy
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: service.run(*alembic, DATABASE_URL=url), range(8)))
    ran = Counter(re.findall(r"Running upgrade \S* -> (\w+)", "".join(said)))
    if set(ran.values()) != {1}:
        row.failed = row.failed or f"they ran {dict(ran)}"
    row.said = f"{len(ran)} migrations ran once each; refused while there were several primaries"
    return row


def primary_killed(members: Group, service: Service, access: str, url: str) -> Row:
    """Under load; the next primary takes over, and the member that was killed rejoins as a secondary."""
    victim = members.primary()

    async def load(base: str) -> Row:
        books = Books(base)
        async with books.load(writers=6, readers=2):
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(victim.kill)
            killed = time.monotonic()
            await asyncio.to_thread(members.primary)
            books.mark()
            elected = time.monotonic() - killed
            await books.recovered()
            await asyncio.to_thread(members.boot, victim)
            await asyncio.to_thread(members.join, victim)
        said = f"the next primary was there after {elected:.1f} s; {_statuses(books)}"
        found = await balance(books, service, url)
        return Row.of(found, members.version, "primary killed (-9), HAProxy, rejoins", f"aiomysql-{access}", said=said)

    with service.serving(url) as client:
        return asyncio.run(load(str(client.base_url).rstrip("/")))


def handed_over(members: Group, service: Service, access: str, url: str) -> Row:
    """Under load: the primary becomes a secondary, another member the primary."""
    old = members.primary()
    new = next(node for node in members.nodes if node is not old)

    async def load(base: str) -> Row:
        books = Books(base)
        async with books.load(writers=6, readers=2):
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(members.hand_over, new)
            await asyncio.to_thread(until, new.is_used, "it did not become the primary")
            books.mark()
            await books.recovered()
        found = await balance(books, service, url)
        said = _statuses(books)
        return Row.of(found, members.version, "primary handed over, HAProxy", f"aiomysql-{access}", said=said)

    with service.serving(url) as client:
        return asyncio.run(load(str(client.base_url).rstrip("/")))


def _statuses(books: Books) -> str:
    return f"{books.statuses[503]} 503, {books.statuses[504]} 504"
