"""What a trial of a cluster reports, and what all share: the rendered services, and folders for their servers."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from books import Balance
from harness import NAME, copy_template, render
from services import Service, database_url, python_called

COUNTS = ("requests", "acknowledged", "unknown", "lost", "stored_though_refused", "wrong_answers", "unmapped", "leaked")


@dataclass
class Row:
    """One trial of one service. What `failed` says is what has to be mended; a row without it is as promised."""

    cluster: str
    """With its version: `PgBouncer 1.26.1`."""
    trial: str
    service: str
    """The combination: `asyncpg-orm`."""
    numbers: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    """What else there is to say: how many tests passed, how long the failover took."""
    failed: str = ""

    @classmethod
    def of(
        cls, balance: Balance, cluster: str, trial: str, service: str, *, said: str = "", may_lose: bool = False
    ) -> "Row":
        """The row of balanced books. `may_lose`: what the cluster itself loses is told, and is no fault here."""
        faults = {name: count for name, count in balance.faults.items() if not (may_lose and name == "lost")}
        numbers = {name: value for name, value in asdict(balance).items() if name != "examples"}
        failed = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in faults.items())
        examples = "; ".join(balance.examples[:3]) if failed else ""
        return cls(cluster, trial, service, numbers, said, f"{failed}: {examples}" if failed else "")


@dataclass
class Env:
    """Renders and installs each service once, at its first use."""

    template: Path
    folder: Path
    rendered: dict[str, Service] = field(default_factory=dict)

    def service(self, driver: str, access: str, **answers: Any) -> Service:
        """With an environment of its own; other answers make another service."""
        key = "-".join((driver, access, *(f"{name}-{value}" for name, value in sorted(answers.items()))))
        if key not in self.rendered:
            target = self.folder / key / NAME
            render(self.template, target, {"driver": driver, "access": access, **answers})
            service = Service(target, python_called("3.13"), {"MYSQLD": ""})
            service.run("uv", "sync", "--quiet")
            self.rendered[key] = service
        return self.rendered[key]

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A temporary folder that a server of another user can enter, and may write to where it owns a part of it."""
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=self.folder))
        folder.chmod(0o711)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def environment() -> Iterator[Env]:
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        Path(folder).chmod(0o711)
        yield Env(copy_template(Path(folder, "template")), Path(folder))


def migrated(service: Service, server: str) -> str:
    """The URL of the service's database, new and migrated, on the server of the administrator's URL."""
    url = database_url(server)
    service.migrate(url)
    return url
