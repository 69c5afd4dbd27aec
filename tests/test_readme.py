"""Each command of the README does what it says, and what it scaffolds can be updated.

The ```sh blocks run as one shell session, from the top to the end, in a clone whose newest release is the working tree.
Interactive commands get the answers that a user would type.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from harness import NAME, ROOT, commit, git
from services import tail

pytestmark = pytest.mark.slow

# Beginning of a command -> why it is not run here.
NOT_RUN = {
    "git clone": "the clone is where the session begins",
    "cd fastapi-async-db-template": "the clone is where the session begins",
    "make demo": "tests/test_demo.py runs it",
    "make dev": "it serves until it is stopped; the service's own tests start it",
    "make examples": "tests/test_examples.py renders them",
    "MYSQLD=": "it is `make test` with a server that this machine may not have",
    "make update-demo": "tests/test_demo.py runs it",
}
# Of all tests of the service, which tests/test_services.py runs, those that are its team's.
INSTEAD = {"make test": "make test-own"}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [" ".join(shlex.split(line, comments=True, posix=False)) for line in lines]
    return [command for command in found if command and not command.startswith(tuple(NOT_RUN))]


def answered(command: str) -> str:
    """The command, or less of it, with the answers that a user would type where it would ask."""
    command = INSTEAD.get(command, command)
    copy = re.search(r"\bcopier copy\b", command)
    if copy and "--defaults" not in command:
        name = "" if "project_name" in command else f" --data project_name={NAME}"
        command = f"{command[: copy.end()]} --defaults{name}{command[copy.end() :]}"
    return command


def test_the_readme_scaffolds_from_an_absolute_path() -> None:
    """Copier records the path as it was typed: from a relative one, nothing can ever be updated."""
    copies = [shlex.split(command) for command in commands() if "copier copy" in command]
    assert copies
    assert [
        copy for copy in copies if not any(word.startswith(("$PWD", "/", "~", "gh:", "http")) for word in copy)
    ] == []


def test_every_command_of_the_readme_works_and_what_it_makes_can_be_updated(versioned: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    clone = tmp_path / "fastapi-async-db-template"
    git(tmp_path, "clone", "--quiet", str(versioned), str(clone))
    cache = subprocess.run(["uv", "cache", "dir"], text=True, capture_output=True, check=True).stdout.strip()
    session = "\n".join(["set -euxo pipefail", *map(answered, commands())])
    environment = {**os.environ, "HOME": str(home), "UV_CACHE_DIR": cache}
    shell = subprocess.run(
        ["bash"],
        input=session,
        cwd=clone,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert shell.returncode == 0, tail(shell.stdout)
    made = [
        path.parent for path in tmp_path.rglob(".copier-answers.yml") if not path.is_relative_to(clone / "examples")
    ]
    assert made, "the README scaffolds a service"
    for service in made:
        if not (service / ".git").exists() or git(service, "status", "--porcelain"):
            commit(service, "Scaffold")
        update = ["uvx", "copier", "update", "--defaults", "--vcs-ref", ":current:"]
        done = subprocess.run(update, cwd=service, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, tail(done.stderr)
        assert git(service, "status", "--porcelain") == ""
