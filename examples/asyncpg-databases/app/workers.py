"""The workers of one server count together: whichever of them is asked at /metrics, the numbers are the sum of all.

They count in files that they share (https://prometheus.github.io/client_python/multiprocess/), without a setting. Each
has a slot with files of its own; who takes the slot of a worker that died, in whatever way, goes on counting there. So
no counter goes back, and there are never more files than there were workers at a time.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from multiprocessing import current_process, parent_process
from pathlib import Path
from time import time

from prometheus_client import multiprocess, values

logger = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's own: who sets it sees to the folder, and to the dead in it
_PREFIX = "service-metrics-"
_LEFT_BEHIND = 60.0  # seconds; in a folder that is younger the first worker may be about to take a slot


def share_metrics() -> None:
    """For a worker, which its server starts afresh, before it makes a metric; any other process is left alone."""
    parent = parent_process()
    if parent is None and Path(os.environ.get(VARIABLE, "")).name.startswith(_PREFIX):
        del os.environ[VARIABLE]  # of the worker that has started this process, which counts for itself
        values.ValueClass = values.MutexValue
    if parent is None or VARIABLE in os.environ:
        return
    # The same in all workers of a server and in nobody else: the key is random, and comes from the parent.
    server = sha256(b"%b %d" % (current_process().authkey, parent.pid or 0)).hexdigest()[:16]
    try:
        folder = Path(tempfile.gettempdir(), _PREFIX + server)
        _remove_left_behind(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        slot = _take_slot(folder)
    except (ImportError, OSError) as error:  # Windows has no such locks
        logger.warning("Each worker shows its own numbers at /metrics: name a folder to share in TMPDIR (%s)", error)
        return
    os.environ[VARIABLE] = str(folder)
    _forget_gauges(slot)
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


def shared_folder() -> str | None:
    """Where the workers count together; None for a process that counts for itself."""
    return os.environ.get(VARIABLE)


def living() -> Iterator[tuple[int, int]]:
    """The slot and the process of each living worker; the gauges of those that died count no longer from now on."""
    for lock in Path(os.environ[VARIABLE]).glob("*.lock"):
        slot, descriptor = int(lock.stem), _locked(lock)
        if descriptor is not None:  # nobody may take the slot in the meantime
            _forget_gauges(slot)
            os.close(descriptor)
        elif process := lock.read_text():
            yield slot, int(process)


def _take_slot(folder: Path) -> int:
    for slot in count():
        descriptor = _locked(folder / f"{slot}.lock")  # never closed: the kernel does that, also after a SIGKILL
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return slot
    raise AssertionError


def _locked(file: Path) -> int | None:
    """The descriptor that holds the lock until it is closed; None where another one holds it."""
    import fcntl

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _forget_gauges(slot: int) -> None:
    multiprocess.mark_process_dead(slot)  # type: ignore[no-untyped-call]


def _remove_left_behind(own: Path) -> None:
    """What servers that are gone have left: a volume may outlive their containers."""
    for folder in own.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's
            if folder != own and time() - folder.stat().st_mtime > _LEFT_BEHIND:
                locks = [_locked(lock) for lock in folder.glob("*.lock")]
                if None not in locks:
                    shutil.rmtree(folder)
                for descriptor in filter(None, locks):
                    os.close(descriptor)
