"""The process between us and the private server: it initializes, starts and stops the server, and removes its folder.

Its standard input is a pipe whose other end only `dev.server` holds. However that process ends, the pipe ends with it,
and then so does the server; even a start that is under way leaves nothing behind.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from dev import binaries
from dev.process import OwnerEnded, StartFailed, last_words, running, wait

KEPT = Path(__file__).resolve().parents[1] / ".dev" / "initialized"
LOCK_LIMIT = 5.0
"""Seconds: the last owner of a folder may have been killed a moment ago, and its server be on the way down."""


def main() -> None:
    binary, kept = Path(sys.argv[1]), sys.argv[2:]
    folder = Path(kept[0]) if kept else Path(tempfile.mkdtemp(prefix="dev-server-"))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # who ends all processes ends the owner too
    try:
        launch(binary, folder, binaries.SHUT_DOWN if kept else binaries.ABANDON)
    except (StartFailed, OSError) as error:
        answer(error=str(error))
    except OwnerEnded:
        pass
    finally:
        if not kept:
            shutil.rmtree(binaries.home(folder), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def launch(binary: Path, folder: Path, how_to_stop: signal.Signals) -> None:
    """Run the server on the data of `folder` until the owner ends. Raises OwnerEnded, StartFailed, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with lock_of(folder) as lock:  # released with this process, which outlives its server
        take(lock.fileno(), folder)
        version, home = binaries.version(binary), binaries.home(folder)
        binary = binaries.usable(binary, home)
        data, maker = home / "data", home / "data" / "made-by"
        if not data.exists():
            fill(binary, version, home, log)
        made_by = maker.read_text() if maker.exists() else "something else"
        if made_by != version:
            raise StartFailed(f"its data were made by {made_by}, and this is {version}: delete the folder {folder}.")
        for _ in range(3):  # another process may take the port between our look and the server's start
            port = free_port(folder / "port")
            with running(binaries.serve(binary, data, port), home, log, how_to_stop) as server:
                if wait(server, ready=lambda: binaries.READY in log.read_bytes()):
                    answer(url=binaries.URL.format(port=port))
                    wait(server, limit=float("inf"), pause=0.5)
                    return
            if b"in use" not in log.read_bytes():
                break
        raise StartFailed(last_words(log))


def fill(binary: Path, version: str, home: Path, log: Path) -> None:
    """Make `home/data`. It gets its name when it is complete: an interrupted attempt never looks like one.

    To initialize it takes seconds, so what came of it is kept in the project for as long as it would come out the same.
    """
    kept = KEPT / f"{version} {zlib.crc32(Path(binaries.__file__).read_bytes()):08x}"
    new = home / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    if not copied(kept, new):
        shutil.rmtree(new, ignore_errors=True)
        initialize(binary, version, home, new, log)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        with suppress(OSError):  # where nothing can be written, or another one was faster
            KEPT.mkdir(parents=True, exist_ok=True)
            if copied(new, part):
                part.rename(kept)
        shutil.rmtree(part, ignore_errors=True)
    new.rename(home / "data")


def copied(source: Path, target: Path) -> bool:
    """With its owner, the server's account: it is not where root has copied the checkout without the owners."""
    readable = source.is_dir() and source.stat().st_uid == binaries.ACCOUNT.get("user", source.stat().st_uid)
    return readable and subprocess.run(["cp", "-a", source, target], capture_output=True).returncode == 0


def initialize(binary: Path, version: str, home: Path, new: Path, log: Path) -> None:
    new.mkdir(mode=0o700)
    if binaries.ACCOUNT:
        os.chown(new, binaries.ACCOUNT["user"], binaries.ACCOUNT["group"])
    command, script = binaries.initialize(binary, version, new)
    with running(command, home, log, signal.SIGTERM, script) as initializer:
        wait(initializer)
    if initializer.returncode:
        raise StartFailed(last_words(log))
    (new / "made-by").write_text(version)
    for name in binaries.OF_ONE_SERVER:
        (new / name).unlink(missing_ok=True)


def lock_of(folder: Path) -> TextIO:
    try:
        return (folder / "lock").open("w")
    except PermissionError as error:  # it was begun as root
        sentence = f"{error.filename} is another user's: delete the folder {folder}, or give it to this one."
        raise StartFailed(sentence) from None


def take(lock: int, folder: Path) -> None:
    until = time.monotonic() + LOCK_LIMIT
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StartFailed(f"another one runs on the folder {folder}: stop that one first.") from None
            time.sleep(0.05)


def free_port(kept: Path) -> int:
    """The one of the last start, so that an address in somebody's tool stays right, unless another program has it.

    The first one follows from the folder, so that it is the same again when the folder was deleted.
    """
    written = kept.read_text() if kept.exists() else ""  # empty where the disk was full
    wanted = int(written or 20_000 + zlib.crc32(str(kept).encode()) % 10_000)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections may linger
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    kept.write_text(str(port))
    return port


def answer(**content: str) -> None:
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(content).encode() + b"\n")
