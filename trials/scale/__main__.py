"""Runs the clusters one after another, prints one table and writes docs/scale.md: `make scale [only=patroni]`.

The page is made of trials/results/scale.json, in which a run replaces the rows of the clusters that it ran. Ends with 1
when a row is not as promised.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CLUSTERS, nargs="*", default=list(CLUSTERS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out all that was started is stopped
    only = parser.parse_args().only
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failed = []
    with environment() as env:
        for name in only:
            started = time.monotonic()
            print(f"==> {name}", flush=True)
            try:
                rows = CLUSTERS[name](env)
            except (CommandFailed, PackagesMissing) as error:
                rows = [Row(name, "start", "", failed=str(error))]
            print(table(rows), f"{time.monotonic() - started:.0f} s", sep="\n", flush=True)
            failed += [f"{row.cluster}, {row.trial}, {row.service}: {row.failed}" for row in rows if row.failed]
            results[name] = [asdict(row) for row in rows]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({name: results[name] for name in sorted(results)}, indent=1) + "\n", "utf-8")
    PAGE.write_text(page([Row(**row) for name in sorted(results) for row in results[name]]), "utf-8")
    if failed:
        sys.exit("\n".join(["NOT AS PROMISED:", *failed]))


if __name__ == "__main__":
    main()
