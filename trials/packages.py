"""Programs out of Debian's packages, unpacked into .tools/ and run from there: nothing is installed, no server starts.

A package comes with all libraries that it needs, the C library included, and runs on these alone. So one release's
programs run on another one, as PgBouncer of sid on Debian 12. Needs apt-get, dpkg-deb and a Debian mirror in apt's own
sources; whatever is missing is one sentence.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import ROOT

CACHE = ROOT / ".tools" / "packages"
# Of what a package depends on, what its program loads. The rest serves its installation.
LIBRARY = re.compile(r"lib(?!.*-perl$|perl)[a-z0-9]\S*|zlib1g")
NOT_ASKED = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
# The mirror of apt's own sources, in their one-line form or in deb822's.
MIRROR = re.compile(r"^(?:deb\s(?:\[[^]]*\]\s*)?|URIs:\s*)(\S+/debian)/?(?:\s|$)", re.MULTILINE)


class PackagesMissing(Exception):
    """What cannot be had, and what to do about it, in one sentence."""


@dataclass(frozen=True)
class Unpacked:
    """The files of one or several packages below `root`."""

    root: Path

    def program(self, name: str) -> list[str]:
        """The beginning of a command that runs one of its programs on its own libraries: `usr/sbin/haproxy`."""
        loader = next(self.root.rglob("ld-linux*.so.*"), None)
        if loader is None:  # a static one, without dependencies
            return [str(self.root / name)]
        folders = {file.parent for file in self.root.rglob("*.so*") if "lib" in file.parts}
        libraries = ":".join(sorted(map(str, folders), key=len))
        return [str(loader), "--library-path", libraries, str(self.root / name)]

    def version(self, name: str, *options: str) -> str:
        """The number in what the program says of its version."""
        said = subprocess.run([*self.program(name), *(options or ("--version",))], capture_output=True, text=True)
        found = re.search(r"\d+\.\d+[\w.]*", said.stdout + said.stderr)
        return found[0] if found else "unknown"


def unpacked(release: str, *packages: str, libraries: bool = True) -> Unpacked:
    """The packages of a release of Debian, `bookworm` or `sid`, with their libraries; from the cache the second time.

    Raises PackagesMissing.
    """
    root = CACHE / "-".join((release, *packages))
    if not root.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise PackagesMissing(f"{packages[0]} comes from Debian's packages: run this on Debian")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            files = Path(folder, "root")
            for package in _downloaded(release, packages, libraries, Path(folder)):
                subprocess.run(["dpkg-deb", "--extract", package, files], check=True)
            subprocess.run(["chmod", "-R", "a+rX", files], check=True)
            try:
                files.rename(root)  # whole, or not at all
            except OSError:
                if not root.exists():  # else another process was faster
                    raise
    return Unpacked(root)


def _downloaded(release: str, packages: Sequence[str], libraries: bool, folder: Path) -> list[Path]:
    for each in ("lists/partial", "cache/archives/partial", "packages"):
        Path(folder, each).mkdir(parents=True)
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f"[signed-by={keys}] " if keys.exists() else ""
    Path(folder, "sources.list").write_text(f"deb {signed}{_mirror()} {release} main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": os.devnull,  # what this system has installed does not count
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    with_options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *with_options, "-qq", "update"], folder, f"the list of {release}'s packages could not be read")
    wanted = set(packages)
    if libraries:
        asked = [f"--no-{kind}" for kind in NOT_ASKED]
        command = ["apt-cache", *with_options, "depends", "--recurse", *asked, *packages]
        listed = _run(command, folder, f"{' '.join(packages)} is not in {release}")
        names = {line for line in listed.splitlines() if not line.startswith((" ", "<"))}
        wanted |= {name for name in names if LIBRARY.fullmatch(name)}
    command = ["apt-get", *with_options, "-qq", "download", *sorted(wanted)]
    _run(command, folder / "packages", f"{' '.join(packages)} could not be downloaded")
    return sorted((folder / "packages").glob("*.deb"))


def _mirror() -> str:
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.[sl]*"))]
    for place in places:
        if place.is_file() and (found := MIRROR.search(place.read_text(encoding="utf-8"))):
            return found[1]
    raise PackagesMissing("No mirror of Debian stands in apt's sources: add one, or run this on Debian")


def _run(command: list[str], folder: Path, failure: str) -> str:
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["apt said nothing"])[-1]
        raise PackagesMissing(f"{failure}: {said}")
    return done.stdout
