"""Tables from results.json, between markers in the README and in docs/performance.md. No number is typed by hand."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FILES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
WORKS = {"read": "read by key", "list": "list of 100", "create": "create", "transfer": "transfer"}
SERVERS = {"asyncpg": "PostgreSQL", "aiomysql": "MySQL or MariaDB"}

Row = dict[str, Any]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    ruler = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ruler, *rows))


class Results:
    """One run's rows, by candidate and circumstance."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.candidates: dict[str, Row] = content["candidates"]

    def names(self, driver: str) -> list[str]:
        """Without a framework, the floor, our two, the published pattern, the others."""
        order = ("bare", "floor", "databases", "orm", "published")
        names = [name for name, row in self.candidates.items() if row["driver"] == driver]
        group = {name: self.candidates[name]["group"] for name in names}
        return sorted(names, key=lambda name: order.index(group[name]) if group[name] in order else len(order))

    def closed(self, name: str, work: str, clients: int) -> Row | None:
        rows = self.content["closed_loop"]
        return next(
            (r for r in rows if (r["candidate"], r["work"], r["clients"]) == (name, work, clients)),
            None,
        )

    def of(self, kind: str, name: str, **where: object) -> Row:
        rows = [r for r in self.content[kind] if r["candidate"] == name]
        return next(r for r in rows if all(r[key] == value for key, value in where.items()))

    @property
    def clients(self) -> list[int]:
        return sorted({row["clients"] for row in self.content["closed_loop"]})


def machine(results: Results) -> str:
    run = results.content
    kind = "One short round, to see that it works: no measurement. " if run["quick"] else ""
    return f"{kind}Measured on {run['machine']['date']} in {run['minutes']} minutes: {environment(run)}"


def environment(run: Row) -> str:
    """On what, with which servers and libraries: of a run of run.py or of bulk.py."""
    machine = run["machine"]
    libraries = {name: version for versions in run["versions"].values() for name, version in versions.items()}
    return (
        f"{machine['system']}, {machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB; "
        f"{', '.join(run['servers'].values())}; "
        f"{', '.join(f'{name} {version}' for name, version in libraries.items())}."
    )


def throughput(results: Results, driver: str, clients: int) -> str:
    rows = []
    floors = {work: results.closed(f"{driver}-floor", work, clients) for work in WORKS}
    for name in results.names(driver):
        cells = [name.removeprefix(f"{driver}-")]
        for work, floor in floors.items():
            row = results.closed(name, work, clients)
            if row is None or floor is None:
                cells.append("-")
                continue
            median, low, high = row["per_second"]
            failed = f", {row['failed']} failed" if row["failed"] else ""
            share = f"{median / of_floor:.2f}" if (of_floor := floor["per_second"][0]) else "-"
            cells.append(f"{median:.0f} ({low:.0f}-{high:.0f}) · {share}{failed}")
        rows.append(cells)
    return table([f"{SERVERS[driver]}, requests/s", *WORKS.values()], rows)


def latency(results: Results, driver: str) -> str:
    rows = []
    for name in results.names(driver):
        cells = [name.removeprefix(f"{driver}-")]
        for work in ("read", "create"):
            for clients in results.clients:
                row = results.closed(name, work, clients)
                cells.append(f"{row['p50'][0]:.0f} / {row['p99'][0]:.0f}" if row else "-")
        rows.append(cells)
    head = [f"{WORKS[work]}, {clients}" for work in ("read", "create") for clients in results.clients]
    return table([f"{SERVERS[driver]}, p50 / p99 in ms by clients", *head], rows)


def cpu(results: Results, driver: str) -> str:
    clients = results.clients[0]
    rows = []
    for name in results.names(driver):
        found = [results.closed(name, work, clients) for work in WORKS]
        process = results.of("processes", name)
        rows.append(
            [
                name.removeprefix(f"{driver}-"),
                *(f"{row['cpu_us'][0]:.0f}" if row else "-" for row in found),
                f"{process['start_up'][0]:.2f}",
                f"{process['memory_idle'][0]:.0f} / {process['memory_loaded'][0]:.0f}",
                f"{process['opened'][0]:.0f}",
            ]
        )
    head = [*(f"{work}, µs CPU" for work in WORKS.values()), "start, s", "MiB idle / loaded", "connections opened"]
    return table([SERVERS[driver], *head], rows)


def profile(results: Results, driver: str) -> str:
    found = {r["candidate"]: r for r in results.content["profiles"]}
    found = {name: found[name] for name in results.names(driver) if name in found}
    owners = sorted({owner for row in found.values() for owner in row["parts"]})
    rows = []
    for name, row in found.items():
        parts = (f"{row['parts'][owner]:.0f}" if owner in row["parts"] else "-" for owner in owners)
        rows.append([name.removeprefix(f"{driver}-"), f"{row['cpu_us']:.0f}", *parts])
    return table([f"{SERVERS[driver]}: µs CPU of a read by key", "all", *owners], rows)


def overload(results: Results, driver: str) -> str:
    rows = []
    for row in results.content["open_loop"]:
        if results.candidates[row["candidate"]]["driver"] == driver:
            name = row["candidate"].removeprefix(f"{driver}-")
            share = row["goodput"] / row["capacity"]
            cells = [f"{name}, {row['overload']:g} x {row['capacity']}/s", f"{row['goodput']} · {share:.2f}"]
            rows.append([*cells, row["refused"], row["other"], f"{row['p50']:.0f}", f"{row['p99']:.0f}"])
    head = [f"{SERVERS[driver]}: offered", "goodput/s · share", "503/s", "other", "p50, ms", "p99, ms"]
    return table(head, sorted(rows, key=lambda cells: str(cells[0]).partition(",")[0]))


def pool(results: Results, driver: str) -> str:
    sizes = sorted({row["pool_size"] for row in results.content["pool_sweep"]})
    rows = []
    for access in ("databases", "orm"):
        for work in ("read", "create"):
            found = [results.of("pool_sweep", f"{driver}-{access}", work=work, pool_size=size) for size in sizes]
            rows.append([f"{access}, {work}", *(f"{r['per_second'][0]:.0f} · {r['p99'][0]:.0f}" for r in found)])
    return table([f"{SERVERS[driver]}: requests/s · p99 in ms", *(f"pool of {size}" for size in sizes)], rows)


def goals(results: Results) -> str:
    """What issue and contract ask for, and what this run says."""
    rows: list[tuple[str, str, str]] = []

    def goal(text: str, figures: Iterable[tuple[str, float]], reached: Any, digits: int = 2) -> None:
        shown = {name: f"{value:.{digits}f}" for name, value in figures}
        missed = [name for name, value in figures if not reached(value)]
        rows.append(
            (text, ", ".join(f"{n} {v}" for n, v in shown.items()), f"missed by {len(missed)}" if missed else "reached")
        )

    few, ours = results.clients[0], [(d, a) for d in SERVERS for a in ("databases", "orm")]

    def per_second(name: str, work: str, clients: int) -> float:
        row = results.closed(name, work, clients)
        return float(row["per_second"][0]) if row else 0.0

    for access, work, share in (
        ("databases", "read", 0.7),
        ("orm", "read", 0.6),
        ("databases", "list", 0.75),
        ("orm", "list", 0.75),
        ("databases", "create", 0.6),
    ):
        ratios = [(d, per_second(f"{d}-{access}", work, few) / per_second(f"{d}-floor", work, few)) for d in SERVERS]
        text = f"{WORKS[work]}, `{access}`: at least {share:.2f} of the floor"
        goal(text, ratios, lambda v, share=share: v >= share)
    spread = [(f"{d}-{a}", results.closed(f"{d}-{a}", "read", few)) for d, a in ours]
    goal(
        f"p99 at most 2 x p50, reads by key of {few} clients on the default pool",
        [(name, row["p99"][0] / row["p50"][0]) for name, row in spread if row],
        lambda v: v <= 2,
    )
    many = next((clients for clients in results.clients if clients >= 200), few)
    tails = []
    for driver, access in ours:
        sweep = results.of("pool_sweep", f"{driver}-{access}", work="read", pool_size=10)
        tails.append((f"{driver}-{access}", sweep["p99"][0] / sweep["p50"][0]))
    goal("p99 at most 2 x p50, reads of 200 clients on a pool of 10", tails, lambda v: v <= 2)
    even = []
    for driver, access in ours:
        row = results.closed(f"{driver}-{access}", "read", many)
        if row:  # if all took equally long, each would take clients / throughput
            even.append((f"{driver}-{access}", row["p99"][0] / (many / row["per_second"][0] * 1000)))
    goal(f"p99 at most 2 x an even share, reads of {many} clients on the default pool", even, lambda v: v <= 2)
    twice = [(f"{d}-{a}", results.of("open_loop", f"{d}-{a}", overload=2)) for d, a in ours]
    goal(
        "twice the capacity: goodput at least 0.90 of it",
        [(n, r["goodput"] / r["capacity"]) for n, r in twice],
        lambda v: v >= 0.9,
    )
    goal("twice the capacity: neither served nor 503", [(n, r["other"]) for n, r in twice], lambda v: v == 0, 0)
    goal(
        "twice the capacity: p99 of what is served at most 1 s",
        [(n, r["p99"] / 1000) for n, r in twice],
        lambda v: v <= 1,
    )
    for work, text in WORKS.items():
        leads = []
        for driver, access in ours:
            others = [
                n
                for n in results.names(driver)
                if results.candidates[n]["group"] not in ("bare", "floor", "orm", "databases")
            ]
            best = max(
                (
                    per_second(n, work, c) / per_second(f"{driver}-{access}", work, c)
                    for n in others
                    for c in (few, many)
                ),
                default=0,
            )
            leads.append((f"{driver}-{access}", 1 / best if best else 0))
        goal(f"{text}: ahead of the published pattern and of every peer", leads, lambda v: v > 1)
    return "\n".join(["| goal | this run | |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def unavailable(results: Results) -> str:
    found = results.content["unavailable"]
    return "\n".join(f"- {name} could not be installed: {reason}" for name, reason in found.items())


def blocks(results: Results) -> dict[str, str]:
    """What stands between markers, by the markers' name."""
    few = results.clients[0]
    per_driver = {
        "throughput": [throughput(results, driver, few) for driver in SERVERS],
        "latency": [latency(results, driver) for driver in SERVERS],
        "cost": [cpu(results, driver) for driver in SERVERS],
        "profile": [profile(results, driver) for driver in SERVERS],
        "overload": [overload(results, driver) for driver in SERVERS],
        "pool": [pool(results, driver) for driver in SERVERS],
    }
    found = {name: "\n\n".join(texts) for name, texts in per_driver.items()}
    return found | {"machine": machine(results), "goals": goals(results), "unavailable": unavailable(results)}


def fill(text: str, content: dict[str, str]) -> str:
    """The text with what stands between `<!-- bench: NAME -->` and `<!-- end -->` replaced."""
    pattern = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content[found[2]]}\n\n{found[3]}", text)


def write_reports() -> None:
    from plots import write_plots  # matplotlib is not there where only the tables are wanted

    results = Results(json.loads((RESULTS / "results.json").read_text("utf-8")))
    write_plots(results.content, RESULTS)
    content = blocks(results)
    titles = ("machine", "goals", "throughput", "latency", "cost", "profile", "overload", "pool", "unavailable")
    (RESULTS / "tables.md").write_text("\n\n".join(filter(None, (content[title] for title in titles))) + "\n", "utf-8")
    for file in FILES:
        file.write_text(fill(file.read_text("utf-8"), content), "utf-8")
