"""The plots of results.json, as SVG: throughput, latency against load, overload, the size of the pool, bulk."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}

COLOURS = {"bare": "#c8c8c8", "floor": "#888888", "databases": "#0b6e4f", "orm": "#1f5fa8", "published": "#c0504d"}
OTHERS = ("#d08c2a", "#8e5ea2")
SERVERS = {"asyncpg": "PostgreSQL", "aiomysql": "MySQL or MariaDB"}
WORKS = {"read": "read by key", "list": "list of 100", "create": "create", "transfer": "transfer"}


def write_plots(results: dict[str, Any], folder: Path) -> None:
    _save(_throughput(results), folder / "throughput.svg")
    _save(_latency(results), folder / "latency.svg")
    _save(_overload(results), folder / "overload.svg")
    _save(_pool(results), folder / "pool.svg")


def write_bulk_plot(bulk: dict[str, Any], folder: Path) -> None:
    _save(_bulk(bulk), folder / "bulk.svg")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panels() -> tuple[Any, dict[str, Axes]]:
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for driver, panel in zip(SERVERS, axes, strict=True):
        panel.set_title(SERVERS[driver])
    return figure, dict(zip(SERVERS, axes, strict=True))


def _colours(results: dict[str, Any], driver: str) -> dict[str, str]:
    groups = {name: row["group"] for name, row in results["candidates"].items() if row["driver"] == driver}
    others = iter(OTHERS)
    return {name: COLOURS[group] if group in COLOURS else next(others) for name, group in groups.items()}


def _throughput(results: dict[str, Any]) -> Any:
    figure, panels = _panels()
    few = min(row["clients"] for row in results["closed_loop"])
    for driver, panel in panels.items():
        colours = _colours(results, driver)
        width = 0.8 / len(colours)
        for place, (name, colour) in enumerate(colours.items()):
            rows = [r for r in results["closed_loop"] if r["candidate"] == name and r["clients"] == few]
            at = [list(WORKS).index(row["work"]) + width * place for row in rows]
            medians = [row["per_second"][0] for row in rows]
            spread = [
                [row["per_second"][0] - row["per_second"][1] for row in rows],
                [row["per_second"][2] - row["per_second"][0] for row in rows],
            ]
            label = name.removeprefix(f"{driver}-")
            panel.bar(at, medians, width, color=colour, label=label, yerr=spread, error_kw={"linewidth": 0.8})
        panel.set_xticks([n + 0.4 for n in range(len(WORKS))], list(WORKS.values()))
        panel.set_ylabel(f"requests/s, {few} clients")
        panel.legend(frameon=False, fontsize=7)
    return figure


def _latency(results: dict[str, Any]) -> Any:
    figure, panels = _panels()
    for driver, panel in panels.items():
        for name, colour in _colours(results, driver).items():
            rows = [r for r in results["closed_loop"] if r["candidate"] == name and r["work"] == "read"]
            clients = [row["clients"] for row in rows]
            if rows:
                panel.plot(clients, [r["p50"][0] for r in rows], color=colour, label=name.removeprefix(f"{driver}-"))
                panel.plot(clients, [row["p99"][0] for row in rows], color=colour, linestyle="--")
        panel.set(xscale="log", yscale="log", xlabel="clients", ylabel="read by key, ms (p50 solid, p99 dashed)")
        panel.legend(frameon=False, fontsize=7)
    return figure


def _overload(results: dict[str, Any]) -> Any:
    figure, panels = _panels()
    for driver, panel in panels.items():
        for name, colour in _colours(results, driver).items():
            rows = [row for row in results["open_loop"] if row["candidate"] == name]
            if rows:
                offered = [row["overload"] for row in rows]
                shares = [row["goodput"] / row["capacity"] for row in rows]
                panel.plot(offered, shares, color=colour, marker="o", label=name.removeprefix(f"{driver}-"))
        panel.set(xlabel="offered, in capacities", ylabel="served, in capacities", ylim=(0, 1.1))
        panel.legend(frameon=False, fontsize=7)
    return figure


def _pool(results: dict[str, Any]) -> Any:
    figure, panels = _panels()
    for driver, panel in panels.items():
        tail = panel.twinx()
        for name, colour in _colours(results, driver).items():
            rows = [r for r in results["pool_sweep"] if r["candidate"] == name and r["work"] == "read"]
            if rows:
                sizes = [row["pool_size"] for row in rows]
                label = name.removeprefix(f"{driver}-")
                panel.plot(sizes, [row["per_second"][0] for row in rows], color=colour, marker="o", label=label)
                tail.plot(sizes, [row["p99"][0] for row in rows], color=colour, linestyle="--")
        panel.set(xscale="log", xlabel="pool size (no overflow), 200 clients", ylabel="reads/s (solid)", ylim=(0, None))
        tail.set(ylabel="p99, ms (dashed)", ylim=(0, None))
        panel.legend(frameon=False, fontsize=7)
    return figure


def _bulk(bulk: dict[str, Any]) -> Any:
    """What bulk.py measured of inserts and updates: rows a second of each way, the service's own ways in colour."""
    servers = list(bulk["servers"])
    figure, axes = pyplot.subplots(2, len(servers), figsize=(4.5 * len(servers), 6.4), squeeze=False)
    for column, server in enumerate(servers):
        for line, operation in zip(axes, ("insert", "update"), strict=True):
            rows: dict[str, dict[str, Any]] = {}
            for row in bulk["rows"]:
                if (row["server"], row["operation"]) == (server, operation):
                    ours = row["way"].startswith("bulk_")
                    rows.setdefault(f"{row['way']}, {row['access']}" if ours else row["way"], row)
            order = sorted(rows, key=lambda name: float(rows[name]["per_second"]))
            colours = [COLOURS[rows[n]["access"]] if n.startswith("bulk_") else COLOURS["floor"] for n in order]
            line[column].barh(order, [rows[name]["per_second"] for name in order], color=colours)
            line[column].set(title=f"{server}: {operation}", xlabel="rows/s")
            line[column].tick_params(axis="y", labelsize=6)
    return figure
