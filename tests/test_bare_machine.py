"""What the README asks for is enough: on a machine with git, make and Python, `make demo` and its Start work.

The environment is a container's: nothing but a fresh HOME, the system's PATH, and what a machine behind a proxy or with
a package index of its own has to say. Once as root, once as a user who may install nothing.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, git
from services import probed, tail

pytestmark = pytest.mark.slow

SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NETWORK = re.compile(
    r"PIP_|UV_(INDEX|DEFAULT_INDEX|FIND_LINKS|SYSTEM_CERTS)|SSL_CERT_|(HTTPS?|NO|ALL)_PROXY$", re.IGNORECASE
)
# Instead of all tests of the service, which tests/test_services.py runs.
SOME_TESTS = {"make test": "uv run pytest -q tests/test_developers.py"}
WHO = "[user]\n\tname = Somebody\n\temail = somebody@example.com\n"


def start() -> list[str]:
    """The commands of the README's section Start, as they stand there."""
    section = (ROOT / "README.md").read_text("utf-8").split("\n## Start\n")[1].split("\n## ")[0]
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)).splitlines()
    return [line for line in lines if line and not line.startswith(("git clone", "cd fastapi", "#"))]


@pytest.fixture
def machine(versioned: Path) -> Iterator[Path]:
    """A folder that any user may enter, with a home and a clone whose newest release is the working tree."""
    usable = [shutil.which(f"python3{minor}", path=SYSTEM) for minor in ("", *(f".{n}" for n in range(11, 16)))]
    if not any(probed(python) for python in usable if python):
        pytest.skip("this system has no Python 3.11 or later of its own")
    folder = Path(tempfile.mkdtemp(prefix="bare-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "home" / ".gitconfig").write_text(WHO)
    git(folder, "clone", "--quiet", "--no-hardlinks", str(versioned), str(folder / "fastapi-async-db-template"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_git_make_and_python_are_all_that_the_demo_and_the_start_need(machine: Path, user: str) -> None:
    if os.geteuid() != 0 and user == "root":
        pytest.skip("only root can be root")
    account = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        for path in (machine, *machine.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    commands = ["make demo", 'export PATH="$PWD/.tools/bin:$PATH"', *(SOME_TESTS.get(line, line) for line in start())]
    done = subprocess.run(
        ["/bin/bash", "-euxo", "pipefail", "-c", "\n".join(commands)],
        cwd=machine / "fastapi-async-db-template",
        env={
            **{name: value for name, value in os.environ.items() if NETWORK.match(name)},
            **{"HOME": str(machine / "home"), "PATH": SYSTEM},
        },
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,
        check=False,
        **account,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, tail(done.stdout)
    assert (machine / "orders-api" / "uv.lock").exists()
