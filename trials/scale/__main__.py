"""Runs the clusters, prints a table of each and writes docs/scale.md: `make scale [only=patroni]`.

Those that wait for elections run beside the others, and PgBouncer's tests in the time that these leave. The page is
made of trials/results/scale.json, in which a run replaces the rows of the clusters that it ran. Ends with 1 when a row
is not as promised.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from at_once import found_by
from packages import PackagesMissing
from services import CommandFailed

from scale import galera, group_replication, patroni, pgbouncer, processes, replica
from scale.page import PAGE, RESULTS, page, table
from scale.rows import Env, Row, environment

Cluster = Callable[[Env], list[Row]]
CLUSTERS: dict[str, Cluster] = {
    "pgbouncer": pgbouncer.run,
    "patroni": patroni.run,
    "replica": replica.run,
    "processes": processes.run,
    "galera": galera.run,
    "group_replication": group_replication.run,
}


LANES = (("patroni", "replica"), ("processes", "galera", "group_replication"), ("pgbouncer",))
COSTLY = ("pgbouncer",)  # computes all the while, and waits for nothing that is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CLUSTERS, nargs="*", default=list(CLUSTERS))
    parser.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out all that was started is stopped
    arguments = parser.parse_args()
    if arguments.lines:
        for found in one_after_another(arguments.only):
            print(json.dumps(found), flush=True)
        return
    started = time.monotonic()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failed = []
    for found in at_once(arguments.only):
        rows = [Row(**row) for row in found["rows"]]
        print(f"==> {found['name']}, {found['seconds']:.0f} s", table(rows), sep="\n", flush=True)
        failed += [f"{row.cluster}, {row.trial}, {row.service}: {row.failed}" for row in rows if row.failed]
        results[found["name"]] = found["rows"]
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({name: results[name] for name in sorted(results)}, indent=1) + "\n", "utf-8")
    PAGE.write_text(page([Row(**row) for name in sorted(results) for row in results[name]]), "utf-8")
    if failed:
        sys.exit("\n".join(["NOT AS PROMISED:", *failed]))


def at_once(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What each cluster shows, as it comes."""
    this = [sys.executable, __file__, "--lines", "--only"]
    lanes = [[name for name in lane if name in names] for lane in LANES]
    commands = [["nice", *this, *lane] if lane[0] in COSTLY else [*this, *lane] for lane in lanes if lane]
    return found_by(commands, len(commands))


def one_after_another(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with environment() as env:
        for name in names:
            started = time.monotonic()
            try:
                rows = CLUSTERS[name](env)
            except (CommandFailed, PackagesMissing) as error:
                rows = [Row(name, "start", "", failed=str(error))]
            yield {"name": name, "rows": [asdict(row) for row in rows], "seconds": time.monotonic() - started}


if __name__ == "__main__":
    main()
