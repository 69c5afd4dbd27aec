"""MariaDB or MySQL from this machine: where it is, how it is initialized, started and stopped.

No configuration file of the machine is read, and nothing waits for the disk: after a crash of the machine the data may
be lost.
"""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

READY = b"ready for connections"
SHUT_DOWN = signal.SIGTERM
ABANDON = signal.SIGKILL  # a shutdown takes MySQL a second
URL = "mysql://root:@127.0.0.1:{port}/mysql"  # without a password, also where app/extensions.py has one
ACCOUNT: dict[str, Any] = {}
"""The arguments of Popen that make it another user's process: not needed, both run as root when told to."""
OF_ONE_SERVER = ("auto.cnf",)
"""What no two servers may have: this one is MySQL's identity, which it makes anew."""


def find() -> Path:
    """The binary of the server. Raises FileNotFoundError with a sentence that says what to do."""
    chosen = os.environ.get("MYSQLD")
    if chosen:
        if not (found := shutil.which(chosen)):
            raise FileNotFoundError(f"MYSQLD={chosen} names no program that can be run: give the path of a mysqld.")
        return Path(found).absolute()
    bins = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # Debian has servers in sbin, which is not on the PATH of ordinary users.
    path = os.pathsep.join(
        [*bins, *(str(Path(folder).with_name("sbin")) for folder in bins if folder.endswith("/bin"))]
    )
    if not (found := shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)):
        raise FileNotFoundError(
            "No MariaDB or MySQL server is installed: install one (Debian, Ubuntu: apt install mariadb-server-core;"
            " macOS: brew install mariadb) or name one with MYSQLD=/path/to/mysqld, or start one with"
            " `docker compose up -d database` and set DATABASE_URL as .env.example does."
        )
    return Path(found).absolute()


def version(binary: Path) -> str:
    """Product and version, as far as it has to be the same for the server to read the data."""
    printed = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    pattern = r"Ver (\d+\.\d+)" if "MariaDB" in printed else r"Ver (\d+)"
    return ("MariaDB " if "MariaDB" in printed else "MySQL ") + "".join(re.findall(pattern, printed))


def home(folder: Path) -> Path:
    """Where the data live."""
    return folder


def usable(binary: Path, home: Path) -> Path:
    """The binary, where the server's user can run it."""
    return binary


def initialize(binary: Path, version: str, data: Path) -> tuple[list[str], bytes]:
    """The command that fills the empty folder `data`, and its standard input."""
    if version.startswith("MySQL"):
        return [*_command(binary, data), "--initialize-insecure"], b""
    # What mariadb-install-db does, which needs programs of another package and cannot handle spaces in paths.
    text = subprocess.run([binary, "--no-defaults", "--verbose", "--help"], capture_output=True, check=True, text=True)
    share = Path(re.findall(r"^character-sets-dir\s+(\S.*)$", text.stdout, re.MULTILINE)[0]).parent
    script = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"  # root without a password
    for name in ("system_tables", "performance_tables", "system_tables_data", "sys_schema"):
        script += next(share.glob(f"m*_{name}.sql")).read_bytes()  # mysql_ or, since MariaDB 11, mariadb_
    return [*_command(binary, data), "--bootstrap"], script


def serve(binary: Path, data: Path, port: int) -> list[str]:
    """The command that runs the server. Its socket lies in `data`; the path of a socket must be short, so relative."""
    command = [*_command(binary, data), "--bind-address=127.0.0.1", f"--port={port}", "--max-connections=200"]
    return [*command, "--socket=socket", "--pid-file=pid", "--loose-mysqlx=0"]


def sql_prompt(url: str) -> str | None:
    """The command for one; None without a client on this machine."""
    client = next(filter(shutil.which, ("mariadb", "mysql")), None)
    address, _, database = url.rpartition("/")
    port = address.rpartition(":")[2]
    return f"{client} --host=127.0.0.1 --port={port} --user=root {database}" if client else None


def _command(binary: Path, data: Path) -> list[str]:
    """With the options of both servers; the one that does not know a `loose` one goes on."""
    options = [
        f"--tmpdir={data.parent}",  # a starting server removes temporary tables, also those of others
        "--skip-log-bin",
        "--innodb-doublewrite=OFF",
        "--innodb-flush-log-at-trx-commit=0",
        "--loose-innodb-flush-method=nosync",
        "--loose-innodb-log-file-size=32M",  # MariaDB
        "--loose-innodb-redo-log-capacity=32M",  # MySQL
    ]
    user = ["--user=root"] if os.geteuid() == 0 else []
    return [str(binary), "--no-defaults", f"--datadir={data}", *user, *options]
