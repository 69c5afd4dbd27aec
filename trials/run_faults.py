"""`make faults`: every fault against every combination, four combinations at a time, and docs/faults.md of them.

Ends with 1 when a goal is missed, after the rows that miss it. Each combination is a process of its own, which gives
its results as lines of JSON; Ctrl-C ends them all, with their servers.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from at_once import found_by
from faults import FAULTS
from faults.world import LIMITS, PATIENCE
from harness import COMBINATIONS, ROOT, combination_id
from machine import machine, versions
from table import PAGE, RESULTS, keep, line, result_of
from trial import Result, results, world

AT_ONCE = 4  # they wait most of the time
FOR_EACH = {combination_id(combination): combination for combination in COMBINATIONS}


def worlds() -> list[tuple[str, str]]:
    """Combination and MYSQLD: on MariaDB, and on MySQL where one is named."""
    mysqld = os.environ.get("MYSQLD", "")
    both = [(name, "") for name in FOR_EACH]
    return both + [(name, mysqld) for name in FOR_EACH if mysqld and name.startswith("aiomysql")]


async def one_world(name: str, mysqld: str, faults: list[str], *, short: bool) -> None:
    """The results of a combination, a line of JSON each, after one with the versions."""
    with world(FOR_EACH[name], mysqld, short=short) as ready:
        driver = FOR_EACH[name]["driver"]
        print(json.dumps({"versions": versions({name: ready.service}, driver)}), flush=True)
        async for result in results(ready, faults):
            print(json.dumps(asdict(result)), flush=True)


def in_processes(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The lines of all combinations as they come."""
    wanted = [world for world in worlds() if not arguments.combination or world[0] in arguments.combination]
    this = [sys.executable, __file__, *arguments.options]
    return found_by([[*this, "--world", name, "--mysqld", mysqld] for name, mysqld in wanted], AT_ONCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("combination", nargs="*", help=f"of {', '.join(FOR_EACH)}; all of them without one")
    parser.add_argument("--only", default="", help="faults whose names have this in them")
    parser.add_argument("--short", action="store_true", help="small loads")
    parser.add_argument("--world", choices=FOR_EACH, help=argparse.SUPPRESS)
    parser.add_argument("--mysqld", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.combination) - set(FOR_EACH):
        parser.error(f"there is no combination {', '.join(unknown)}: there are {', '.join(FOR_EACH)}")
    names = [name for name in FAULTS if arguments.only.lower() in name.lower()]
    if not names:
        parser.error(f"no fault has {arguments.only!r} in its name: there are {', '.join(FAULTS)}")
    if arguments.world:
        asyncio.run(one_world(arguments.world, arguments.mysqld, names, short=arguments.short))
        return
    arguments.options = ["--only", arguments.only, *(["--short"] if arguments.short else [])]

    started = time.monotonic()
    found: list[Result] = []
    packages: dict[str, str] = {}
    for printed in in_processes(arguments):
        if "versions" in printed:
            packages |= printed["versions"]
            continue
        found.append(result_of(printed))
        print(line(found[-1]), flush=True)
    missed = [result for result in found if result.missed]
    minutes = (time.monotonic() - started) / 60
    print(f"\n{len(found)} faults in {minutes:.1f} minutes, {len(missed)} miss a goal")
    print("".join(f"\n{line(result)}" for result in missed))
    whole = not arguments.combination and not arguments.only
    if not arguments.short and (whole or RESULTS.exists()):
        facts = machine()
        servers = sorted({result.server for result in found})
        text = f"{facts['system']}, {facts['cores']} cores of {facts['processor']}; "
        text += ", ".join([*servers, *(f"{name} {version}" for name, version in packages.items())]) + "."
        limits = ", ".join(f"`{name}={value}`" for name, value in LIMITS.items() if name.startswith("DATABASE"))
        about = {"machine": text, "date": facts["date"], "minutes": minutes, "limits": limits, "patience": PATIENCE}
        keep(found, whole=whole, **about)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    sys.exit(bool(missed))


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
