"""`make bench`: renders, installs and measures everything side by side, and writes results, tables and plots.

Raw numbers go to benchmarks/results/results.json; everything else is generated from it, and again by `--report` alone.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from candidates import candidates, services
from harness import DRIVERS, combination_id
from machine import machine, server_version, versions
from measuring import FULL, QUICK, measure
from peers import install, peers
from report import RESULTS, write_reports
from services import CommandFailed, database_url
from worker import OTHER_CORES, allow_many_files, pinned


def measure_all(folder: Path, quick: bool) -> dict[str, Any]:
    allow_many_files()
    started = time.monotonic()
    print("rendering and installing", flush=True)
    with ThreadPoolExecutor() as threads:  # the generators wait for the network and for each other's disks
        installing = {driver: threads.submit(install, folder, driver) for driver in DRIVERS}
        rendered = services(folder)
        others = {driver: future.result() for driver, future in installing.items()}
    results: dict[str, Any] = {"machine": machine(), "quick": quick, "versions": {}, "servers": {}, "unavailable": {}}
    results["candidates"] = {}
    for driver in DRIVERS:
        print(f"{driver}: filling the tables", flush=True)
        helper = rendered[combination_id({"driver": driver, "access": "orm"})]
        found = candidates(rendered, driver)
        other = others[driver]
        if isinstance(other, str):
            results["unavailable"][f"{driver}-fastapi-template"] = other
            print(f"  fastapi-template could not be installed: {other}")
        else:
            found += peers(other, driver, helper)
        with pinned(OTHER_CORES), helper.dev_server() as server:
            measured = measure(found, helper, server, QUICK if quick else FULL)
            results["servers"][driver] = server_version(helper, database_url(server, found[0].database))
        results["versions"][driver] = versions(rendered, driver)
        for candidate in found:
            results["candidates"][candidate.name] = {"group": candidate.group, "driver": driver}
        for kind, rows in measured.items():
            results.setdefault(kind, []).extend(rows)
    results["minutes"] = round((time.monotonic() - started) / 60, 1)
    return results


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that everything works, in under three minutes")
    parser.add_argument("--report", action="store_true", help="measure nothing: write tables and plots again")
    arguments = parser.parse_args()
    if not arguments.report:
        if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
            return "make bench needs Linux and two cores: one for the service, one for the server and the load"
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            results = measure_all(folder, arguments.quick)
        except CommandFailed as failure:
            return f"{failure}\n\nmake bench: the command above failed"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        target = RESULTS / ("quick.json" if arguments.quick else "results.json")
        target.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        print(f"measured for {results['minutes']} minutes: {target.relative_to(Path.cwd())}")
        if arguments.quick:
            return 0  # too short to be shown
    write_reports()
    return 0


if __name__ == "__main__":
    sys.exit(main())
