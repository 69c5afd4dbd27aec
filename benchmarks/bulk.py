"""`make bench-bulk`: every way of moving many rows, side by side on private servers; writes bulk.json and docs/bulk.md.

A time is the median of several rounds, in which the ways take turns. The page is generated, and by `--report` alone
from what was measured before.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import httpx
from bulk_report import PAGE, page
from candidates import services
from harness import ACCESS_STYLES, DRIVERS, combination_id
from machine import machine, server_version, versions
from report import RESULTS
from services import CommandFailed, Service, database_url

WAYS = Path(__file__).with_name("ways")
MODULES = {"orm": "orm", "databases": "with_databases"}
ROUNDS, IMPORTED = 3, 1_000_000
LOAD = "import resource, sys, time; from app.developers.load import main; began = time.monotonic(); main(); "
LOAD += "print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"

Row = dict[str, Any]


@contextmanager
def servers(rendered: dict[str, Service]) -> Iterator[dict[str, tuple[str, str]]]:
    """Driver and administrator's URL of each server."""
    postgresql, mysql = (rendered[combination_id({"driver": d, "access": "orm"})] for d in DRIVERS)
    with postgresql.dev_server() as url:
        found = {"PostgreSQL": ("asyncpg", url)}
        with Service(mysql.path, mysql.python, {"MYSQLD": ""}).dev_server() as url:
            found["MariaDB"] = ("aiomysql", url)
            mysqld = os.environ.get("MYSQLD")
            if not mysqld:
                print("without MYSQLD=/path/to/mysqld MySQL is left out", flush=True)
                yield found
                return
            with Service(mysql.path, mysql.python, {"MYSQLD": mysqld}).dev_server() as url:
                yield found | {"MySQL": ("aiomysql", url)}


def ways(service: Service, url: str, driver: str, access: str, rounds: int) -> list[Row]:
    """The times of one access style's ways and of the driver's own."""
    command = [service.executable("python"), str(WAYS / f"on_{driver}.py"), str(rounds), MODULES[access]]
    printed = service.run(*command, timeout=900, DATABASE_URL=url, PYTHONPATH=str(WAYS))
    rows = []
    for operation, name, share, seconds in json.loads(printed.splitlines()[-1]):
        count = 10_000 if operation == "update" else 50_000
        median = statistics.median(seconds)
        rows.append(
            {
                "operation": operation,
                "way": name,
                "access": access,
                "share": share,
                "rows": count,
                "seconds": [round(value, 4) for value in (median, min(seconds), max(seconds))],
                "per_second": round(count / median),
            }
        )
    for row in rows:
        fastest = min(r["seconds"][0] for r in rows if r["operation"] == row["operation"])
        row["ratio"] = round(row["seconds"][0] / fastest, 2)
    return rows


def import_of(service: Service, url: str, file: Path, count: int) -> Row:
    """The import command, in a process of its own."""
    command = [service.executable("python"), "-c", LOAD, str(file)]
    seconds, memory = map(float, service.run(*command, timeout=1800, DATABASE_URL=url).split()[-2:])
    return {"operation": "import", "seconds": seconds, "per_second": round(count / seconds), "memory": round(memory)}


def export_of(service: Service, url: str, count: int) -> Row:
    """GET /developers/export under a real uvicorn; the highest resident memory that /metrics showed meanwhile."""
    memory = lines = 0
    with service.serving(url) as client:
        client.get("/developers")
        began = asked = time.monotonic()
        with client.stream("GET", "/developers/export") as response:
            for chunk in response.iter_bytes():
                lines += chunk.count(b"\n")
                if time.monotonic() - asked > 0.5:
                    memory = max(memory, resident(client))
                    asked = time.monotonic()
        seconds = time.monotonic() - began
        memory = max(memory, resident(client))
    if lines != count:
        raise CommandFailed(f"GET /developers/export: {lines} rows instead of {count}")
    per_second = round(count / seconds)
    return {"operation": "export", "seconds": round(seconds, 2), "per_second": per_second, "memory": memory}


def resident(client: httpx.Client) -> int:
    """MiB of the process that answers."""
    metrics = httpx.get(f"{client.base_url}/metrics", trust_env=False).text
    return round(float(metrics.partition("\nprocess_resident_memory_bytes ")[2].split()[0]) / 2**20)


def write_people(file: Path, count: int) -> None:
    with file.open("w") as out:
        for number in range(count):
            row = {"name": f"Name {number}", "email": f"p{number}@example.com", "specialty": f"specialty {number % 50}"}
            out.write(json.dumps(row) + "\n")


def measure(folder: Path, rounds: int, imported: int) -> Row:
    started = time.monotonic()
    print("rendering and installing", flush=True)
    rendered = services(folder)
    people = folder / "people.ndjson"
    write_people(people, imported)
    results: Row = {"machine": machine(), "versions": {}, "servers": {}, "imported": imported, "rows": []}
    results["quick"] = rounds < ROUNDS
    with servers(rendered) as found:
        for server, (driver, administrator) in found.items():
            for access in ACCESS_STYLES:
                service = rendered[combination_id({"driver": driver, "access": access})]
                url = database_url(administrator, f"bulk_{access}")
                service.create_database(url)
                if driver == "aiomysql":
                    service.administer(url, "SET GLOBAL local_infile = 1")
                results["servers"][server] = server_version(service, url)
                rows = ways(service, url, driver, access, rounds)
                service.run(service.executable("alembic"), "upgrade", "head", DATABASE_URL=url)
                rows.append(import_of(service, url, people, imported) | {"way": "app.developers.load"})
                rows.append(export_of(service, url, imported) | {"way": "GET /developers/export"})
                for row in rows:
                    results["rows"].append({"driver": driver, "server": server, "access": access, **row})
                    ratio = f"{row['ratio']:>8.2f} x" if "ratio" in row else f"{row['memory']:>6} MiB"
                    print(f"  {server:<11}{access:<10}{row['operation']:<7} {row['way']:<54}{ratio}", flush=True)
        for driver in DRIVERS:
            results["versions"][driver] = versions(rendered, driver)
    results["minutes"] = round((time.monotonic() - started) / 60, 1)
    return results


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that everything works: one round, fewer rows")
    parser.add_argument("--report", action="store_true", help="measure nothing: write the page again")
    arguments = parser.parse_args()
    target = RESULTS / "bulk.json"
    if not arguments.report:
        folder = Path(tempfile.mkdtemp(prefix="bench-bulk-"))
        try:
            results = measure(folder, *((1, 20_000) if arguments.quick else (ROUNDS, IMPORTED)))
        except CommandFailed as failure:
            return f"{failure}\n\nmake bench-bulk: the command above failed"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"measured for {results['minutes']} minutes")
        if arguments.quick:
            print(page(results))  # too short to be kept
            return 0
        target.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    from plots import write_bulk_plot  # matplotlib is not there where only the page is wanted

    results = json.loads(target.read_text("utf-8"))
    PAGE.write_text(page(results), "utf-8")
    write_bulk_plot(results, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
