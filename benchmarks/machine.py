"""The kind of machine and the versions that a result belongs to: no host name, no path."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from candidates import run_sql
from services import Service

PACKAGES = ("fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "sqlalchemy", "databases")
VERSIONS = """
import importlib.metadata, json, platform, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({"python": platform.python_version()} | {name: version(name) for name in sys.argv[1:]}))
"""


def machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def versions(services: dict[str, Service], driver: str) -> dict[str, str]:
    """Of the libraries that the candidates of a driver run on."""
    found: dict[str, str] = {}
    for name, service in services.items():
        if name.startswith(driver):
            printed = service.run(service.executable("python"), "-c", VERSIONS, *PACKAGES, driver)
            found |= {package: version for package, version in json.loads(printed).items() if version}
    return found


def server_version(service: Service, url: str) -> str:
    """Such as "PostgreSQL 18.6" or "MariaDB 10.11.19"."""
    printed = run_sql(service, url, "SELECT VERSION()").strip("(',)\n")
    if printed.startswith("PostgreSQL"):
        return " ".join(printed.split()[:2])
    version, _, kind = printed.partition("-")
    return f"{'MariaDB' if 'MariaDB' in kind else 'MySQL'} {version}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
