"""Clients that well-kept generators make of a service's OpenAPI document ask the service, typed problems included."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import NAME, ROOT, render
from services import CommandFailed, Service, database_url, python_called, tail

pytestmark = pytest.mark.slow

ASK = ROOT / "tests" / "clients"
CONFIGURATION = {
    "package_name_override": "client",
    "post_hooks": [],
    "content_type_overrides": {"application/x-ndjson": "text/plain"},  # it knows no media type but the common ones
}
PACKAGES = {"@hey-api/openapi-ts": "^0.99.0", "typescript": "^5.9.0"}
COMPILER_OPTIONS = {
    "target": "es2022",
    "module": "nodenext",
    "moduleResolution": "nodenext",
    "lib": ["es2022", "dom", "dom.iterable"],
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "skipLibCheck": True,
    "types": [],
    "outDir": "built",
}


@pytest.fixture(scope="module")
def service(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("clients")
    service = Service(render(snapshot, folder / NAME), python_called("newest"))
    service.run("uv", "sync", "--quiet")
    return service


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    """Where the service is served; its document lies beside it."""
    with service.dev_server() as server:
        url = database_url(server)
        service.create_database(url)
        service.run("uv", "run", "alembic", "upgrade", "head", DATABASE_URL=url)
        with service.serving(url) as client:
            (service.path.parent / "openapi.json").write_text(client.get("/openapi.json").text)
            yield str(client.base_url)


def run(folder: Path, *command: str) -> str:
    """What the command prints. Raises CommandFailed."""
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300)
    if done.returncode:
        raise CommandFailed(f"{tail(done.stdout + done.stderr)}\n\n{' '.join(command)}: exit {done.returncode}")
    return done.stdout


def test_a_python_client_asks_the_service(service: Service, address: str, tmp_path: Path) -> None:
    document = str(service.path.parent / "openapi.json")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIGURATION))
    generator = ["uvx", "--python", str(service.python), "openapi-python-client>=0.29"]
    arguments = ["generate", "--path", document, "--meta", "none", "--output-path", "client", "--fail-on-warning"]
    run(tmp_path, *generator, *arguments, "--config", str(config))
    shutil.copy(ASK / "ask.py", tmp_path)
    needs = ["--with", "httpx", "--with", "attrs", "--with", "python-dateutil"]
    python = ["uv", "run", "--quiet", "--no-project", "--python", str(service.python), *needs]
    assert run(tmp_path, *python, "python", "ask.py", address).split() == ["asked"]
    assert run(tmp_path, *python, "--with", "mypy", "--with", "types-python-dateutil", "mypy", "ask.py")


@pytest.mark.skipif(not shutil.which("npm"), reason="there is no node on this machine")
def test_a_typescript_client_asks_the_service(service: Service, address: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"type": "module", "private": True, "devDependencies": PACKAGES}))
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER_OPTIONS, "include": ["ask.ts"]}))
    run(tmp_path, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
    run(tmp_path, "npx", "openapi-ts", "--input", str(service.path.parent / "openapi.json"), "--output", "client")
    shutil.copy(ASK / "ask.ts", tmp_path)
    run(tmp_path, "npx", "tsc")
    assert run(tmp_path, "node", "built/ask.js", address).split() == ["asked"]
