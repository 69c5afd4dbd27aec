"""The rendered packaging and CI files: each against its schema or linter, and against what the others say.

No container engine is needed: the image's steps (lock, sync, copy, import, health check) are done here without one.
"""

import ast
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from harness import COMBINATIONS, DRIVERS, NAME, combination_id, files, git, render
from test_deploy import satisfies

CI_FILES = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml"}
RELEASE_CHECK = ".github/workflows/template.yml"
VARIANTS: list[dict[str, Any]] = [
    {"ci": ci, "driver": driver, "external_pooler": pooler}
    for driver in DRIVERS
    for ci, pooler in (("github", False), ("gitlab", True), ("none", False))
]
INSTALLED = "from importlib.metadata import distributions; print(*(d.name for d in distributions()))"
Rendered = Callable[[dict[str, str]], Path]


def variant_id(data: dict[str, Any]) -> str:
    return f"{data['driver']}-{data['ci']}"


def only(*names: str) -> pytest.MarkDecorator:
    """For a test of what only these CIs have."""
    variants = [variant for variant in VARIANTS if variant["ci"] in names]
    return pytest.mark.parametrize("variant", variants, ids=variant_id, indirect=True)


@pytest.fixture(scope="session", params=VARIANTS, ids=variant_id)
def variant(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def packaged(variant: dict[str, Any], snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(snapshot, tmp_path_factory.mktemp("packaging") / NAME, variant)


@pytest.fixture(scope="session")
def compose(packaged: Path) -> Any:
    return yaml.safe_load((packaged / "compose.yaml").read_text())


@pytest.fixture(scope="session")
def ci(packaged: Path, variant: dict[str, Any]) -> Any:
    return yaml.safe_load((packaged / CI_FILES[variant["ci"]]).read_text())


def run(*command: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False, **options)


def instructions(packaged: Path) -> list[tuple[str, str]]:
    """The Dockerfile as (INSTRUCTION, value), continuation lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (packaged / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line]
    return [(name, value) for name, _, value in (line.partition(" ") for line in lines)]


def last_stage(packaged: Path) -> dict[str, str]:
    found = instructions(packaged)
    start = max(i for i, (name, _) in enumerate(found) if name == "FROM")
    return dict(found[start:])


# Schemas and linters


def test_the_compose_file_satisfies_the_compose_specification(packaged: Path) -> None:
    satisfies("vendor.compose-spec", packaged / "compose.yaml")


def test_the_chosen_ci_and_no_other_is_rendered_and_satisfies_its_schema(
    packaged: Path, variant: dict[str, Any]
) -> None:
    rendered = {name for name, file in CI_FILES.items() if (packaged / file).exists()}
    assert rendered == {variant["ci"]} - {"none"}
    assert (packaged / ".github").exists() == (variant["ci"] == "github")
    if variant["ci"] == "github":
        satisfies("vendor.github-workflows", packaged / RELEASE_CHECK)
    for name in rendered:
        satisfies({"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}[name], packaged / CI_FILES[name])


def test_the_dockerfile_passes_hadolint(packaged: Path) -> None:
    result = run("hadolint", "--no-color", "Dockerfile", cwd=packaged)
    assert result.returncode == 0, result.stdout + result.stderr


# The image


def test_the_image_serves_as_an_ordinary_user_and_gets_its_signals(packaged: Path) -> None:
    stage = last_stage(packaged)
    assert int(stage["USER"]) >= 1000
    command = json.loads(stage["CMD"])
    assert command[:3] == ["python", "-m", "app"]
    assert "ENTRYPOINT" not in stage
    assert stage["FROM"] == "base", "the last stage must not contain uv"


class Health(http.server.BaseHTTPRequestHandler):
    """Answers /health/live with the server's status, anything else with 404."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health/live" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def health_server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def health_check(packaged: Path, port: int) -> bool:
    """What the image's HEALTHCHECK says of the service on `port`."""
    _, _, command = last_stage(packaged)["HEALTHCHECK"].partition(" CMD ")
    executable, option, code = json.loads(command)
    assert (executable, option) == ("python", "-c")
    assert "8000" in code
    proxied = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    return run(sys.executable, option, code.replace("8000", str(port)), cwd=packaged, env=proxied).returncode == 0


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False), (503, False)])
def test_the_health_check_of_the_image_tells_a_live_service_from_a_broken_one(
    packaged: Path, health_server: http.server.HTTPServer, status: int, healthy: bool
) -> None:
    health_server.status = status  # type: ignore[attr-defined]
    assert health_check(packaged, health_server.server_port) is healthy


def test_the_health_check_of_the_image_fails_where_nobody_listens(packaged: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert not health_check(packaged, silent.getsockname()[1])


def uv_sync(packaged: Path) -> list[str]:
    """The command of the image's build that installs the dependencies, without its mount."""
    (command,) = (value for name, value in instructions(packaged) if name == "RUN" and "uv sync" in value)
    return command.split(" ")[1:]


@pytest.fixture(scope="module", params=COMBINATIONS, ids=combination_id)
def context(request: pytest.FixtureRequest, rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `docker build` would be sent: the files that .dockerignore lets through, the lock among them."""
    complete = rendered(request.param)
    context = tmp_path_factory.mktemp("context")
    lines = (complete / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "a list of what goes in starts with nothing"
    for name in (line[1:] for line in lines if line.startswith("!") and line != "!uv.lock"):
        source = complete / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, context / name)  # fails when it is neither
    locked = run("uv", "lock", cwd=context)
    assert locked.returncode == 0, locked.stderr
    shutil.copy(complete / "Dockerfile", context)
    return context


@pytest.mark.slow
def test_the_image_serves_and_migrates_without_development_dependencies(context: Path) -> None:
    synced = run(*uv_sync(context), cwd=context)
    assert synced.returncode == 0, synced.stderr
    python = context / ".venv" / "bin" / "python"
    imported = run(str(python), "-c", "import app.main", cwd=context, env={"DATABASE_URL": "", "PATH": ""})
    assert imported.returncode == 0, imported.stderr
    compiled = run(*last_stage(context)["RUN"].split(), cwd=context)
    assert compiled.returncode == 0, compiled.stderr
    assert list((context / "app" / "__pycache__").glob("main.*.pyc"))
    served = run(str(python), *json.loads(last_stage(context)["CMD"])[1:], cwd=context, env={"PATH": ""})
    assert (served.returncode, "DATABASE_URL is not set" in served.stderr) == (3, True), served.stderr
    heads = run(str(python.parent / "alembic"), "heads", cwd=context)  # what `migrate` of compose finds in the image
    assert "(head)" in heads.stdout, heads.stderr
    development = tomllib.loads((context / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in development}
    installed = run(str(python), "-c", INSTALLED, cwd=context).stdout.split()
    assert "fastapi" in installed
    assert not names & set(installed)


@pytest.mark.slow
def test_a_missing_lock_ends_the_image_build_with_what_to_do(context: Path, tmp_path: Path) -> None:
    (copied,) = (value for name, value in instructions(context) if name == "COPY" and "pyproject.toml" in value)
    assert "uv.lock*" in copied.split(), "without the asterisk COPY itself fails, and says less"
    shutil.copy(context / "pyproject.toml", tmp_path)
    result = run(*uv_sync(context), cwd=tmp_path)
    assert result.returncode != 0
    assert "uv lock" in result.stderr


# Compose, CI and .env.example agree


def test_compose_migrates_once_the_server_is_healthy_and_serves_once_migrated(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["migrate"]["command"] == ["alembic", "upgrade", "head"]
    assert services["service"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["service"]["build"] == services["migrate"]["build"]
    assert services["service"]["environment"] == services["migrate"]["environment"]


def test_compose_publishes_ports_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_example_environment_names_the_database_of_compose(packaged: Path, compose: dict[str, Any]) -> None:
    inside = compose["services"]["service"]["environment"]["DATABASE_URL"]
    (published,) = compose["services"]["database"]["ports"]
    default = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", inside)
    outside = default.replace("@database/", f"@{published.rpartition(':')[0]}/")
    assert dotenv_values(packaged / ".env.example")["DATABASE_URL"] == outside
    secret = re.search(r"\$\{(\w+):-", inside)
    assert secret is not None
    assert compose["services"]["database"]["environment"][secret[1]] == secret[0].replace(":-", ":-development}")


def test_the_data_of_compose_is_kept_where_the_servers_image_writes_it(compose: dict[str, Any]) -> None:
    database = compose["services"]["database"]
    directory = {"postgres:18": "/var/lib/postgresql", "mariadb:11.8": "/var/lib/mysql"}[database["image"]]
    assert database["volumes"] == [f"database:{directory}"]
    assert "database" in compose["volumes"]


def supported(packaged: Path) -> set[str]:
    """The versions of Python that the service says it runs on."""
    project = tomllib.loads((packaged / "pyproject.toml").read_text())["project"]
    return set(re.findall(r":: (3\.\d+)'", str(project["classifiers"])))


def pythons(job: dict[str, Any]) -> set[str]:
    """The versions of Python that the job of CI runs on."""
    return set(re.findall(r"'(3\.\d+)'", str(job.get("strategy") or job["parallel"])))


@only("github")
def test_ci_runs_the_tests_on_every_end_of_the_supported_pythons_and_on_that_of_the_image(
    packaged: Path, ci: dict[str, Any]
) -> None:
    ends = {min(supported(packaged)), max(supported(packaged))}
    image = python_of_the_image(packaged)
    assert {*ends, image} <= pythons(ci["jobs"]["test"])
    assert image == max(supported(packaged))


def python_of_the_image(packaged: Path) -> str:
    (version,) = re.findall(r"^FROM python:(3\.\d+)-", (packaged / "Dockerfile").read_text(), re.MULTILINE)
    return str(version)


@only("github", "gitlab")
def test_ci_runs_the_tests_on_the_server_of_compose(
    ci: dict[str, Any], compose: dict[str, Any], packaged: Path
) -> None:
    job = (ci.get("jobs") or ci)["test"]
    if "strategy" in job:
        servers, password = job["strategy"]["matrix"]["server"], job["services"]["database"]["env"]
        (url,) = (step["env"]["DATABASE_URL"] for step in job["steps"] if step.get("run") == "make test")
    else:
        servers, password = job["parallel"]["matrix"][0]["SERVER"], job["variables"]
        url = job["variables"]["DATABASE_URL"]
    assert compose["services"]["database"]["image"] in servers
    assert pythons(job) <= supported(packaged)
    assert {min(supported(packaged)), "3.14"} <= pythons(job)
    user = "postgres" if servers[0].startswith("postgres") else "root"
    variable = {"postgres": "POSTGRES_PASSWORD", "root": "MYSQL_ROOT_PASSWORD"}[user]
    assert f"//{user}:{password[variable]}@" in url
    assert url.endswith(f"/{NAME}")


@only("github")  # GitLab's job token is limited in the project's settings
def test_ci_may_only_read_the_repository(ci: dict[str, Any]) -> None:
    assert ci["permissions"] == {"contents": "read"}


@only("github")
def test_each_expression_of_the_workflow_names_something_that_exists(packaged: Path) -> None:
    text = (packaged / CI_FILES["github"]).read_text()
    matrix = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]
    known = {f"matrix.{name}" for name in matrix if name != "include"} | {
        "github.workflow",
        "github.ref",
        "github.event_name",
    }
    expressions = " ".join(re.findall(r"\$\{\{(.*?)\}\}", text))
    assert set(re.findall(r"\w+\.\w+", expressions)) == known


@only("gitlab")  # GitHub's setup-uv takes the newest version
def test_ci_and_the_image_use_the_same_uv(packaged: Path, ci: dict[str, Any]) -> None:
    (version,) = re.findall(r"astral-sh/uv:([\d.]+) ", (packaged / "Dockerfile").read_text())
    assert ci["default"]["image"].startswith(f"ghcr.io/astral-sh/uv:{version}-python")


# .env.example and the settings


def settings(packaged: Path) -> dict[str, str | None]:
    """Environment variable -> its default as text, or None; read from the source of app/settings.py."""
    body = ast.parse((packaged / "app" / "settings.py").read_text()).body
    classes = {
        node.name: node for node in body if isinstance(node, ast.ClassDef) and "BaseSettings" in ast.unparse(node)
    }
    found: dict[str, str | None] = {}
    for node in classes.values():
        prefixes = re.findall(r"env_prefix='(\w*)'", ast.unparse(node))
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and not any(name in ast.unparse(field.annotation) for name in classes):
                value = field.value.args[0] if isinstance(field.value, ast.Call) else field.value
                default = None if value is None else str(ast.literal_eval(value))
                found["".join([*prefixes, ast.unparse(field.target)]).upper()] = default
    return found


def test_the_example_environment_lists_each_setting_with_its_default(packaged: Path) -> None:
    text = (packaged / ".env.example").read_text()
    assert list(dotenv_values(packaged / ".env.example")) == ["DATABASE_URL"]  # the rest are defaults, commented out
    listed = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    expected = settings(packaged)
    assert listed.keys() == expected.keys()
    assert {k: v for k, v in listed.items() if v and k != "DATABASE_URL"} == {
        k: v.lower() if v in ("True", "False") else v for k, v in expected.items() if v not in (None, "None")
    }


def test_the_example_environment_warns_that_a_replica_lags_beside_its_variable(packaged: Path) -> None:
    paragraphs = (packaged / ".env.example").read_text().split("\n\n")
    (replica,) = (paragraph for paragraph in paragraphs if "DATABASE_REPLICA_URL" in paragraph)
    assert "may lag" in replica


# Makefile and ignore files


def test_make_lists_every_target_and_each_can_run(packaged: Path) -> None:
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", (packaged / "Makefile").read_text(), re.MULTILINE))
    shown = run("make", "--no-print-directory", cwd=packaged)
    assert re.findall(r"^  make ([\w-]+) ", shown.stdout, re.MULTILINE) == phony.split(), shown.stderr
    for target in phony.split():
        dry = run("make", "-n", target, "m=add orders", cwd=packaged)
        assert dry.returncode == 0, dry.stderr
        assert dry.stdout


def test_a_migration_without_a_message_is_refused_with_what_to_type(packaged: Path) -> None:
    result = run("make", "migration", cwd=packaged)
    assert result.returncode != 0
    assert 'make migration m="add orders"' in result.stderr


def test_git_ignores_secrets_and_caches_and_nothing_of_the_service(packaged: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    shutil.copy(packaged / ".gitignore", tmp_path)
    secret = [".env", ".dev/data", ".venv/bin", ".mypy_cache/x", ".coverage"]
    assert git(tmp_path, "check-ignore", *secret).split() == secret
    assert run("git", "check-ignore", "uv.lock", *files(packaged), cwd=tmp_path).stdout == ""
