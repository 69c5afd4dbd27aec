"""What a service is deployed and maintained with: manifests, workflows, bots, hooks. Each against its real validator,
and the numbers in one against those in the others."""

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from harness import COMBINATIONS, DRIVERS, NAME, ROOT, commit, git, render
from services import CommandFailed, Service

FOLDER = Path("deploy", "kubernetes")
ANSWERS: dict[str, dict[str, Any]] = {
    "default": {},
    "smallest": {"project_name": "ab", "pool_size": 1, "max_overflow": 0},
    "largest": {"project_name": "a" * 40, "pool_size": 1000, "max_overflow": 1000},
}
# What the servers' own defaults admit.
LIMITS = {"asyncpg": 100, "aiomysql": 151}
RESERVE = 10


@pytest.fixture(scope="session")
def part(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without what these tests do not look at, which makes most of a rendering's time."""
    left_out = shutil.ignore_patterns("*tests*", "*migrations*", "*dev*", "*notes*", "bulk")
    return shutil.copytree(snapshot, tmp_path_factory.mktemp("part"), dirs_exist_ok=True, ignore=left_out)


@pytest.fixture(scope="module", params=[(driver, name) for driver in DRIVERS for name in ANSWERS], ids="-".join)
def deployed(request: pytest.FixtureRequest, part: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    driver, name = request.param
    return render(part, tmp_path_factory.mktemp("deployed") / NAME, {"driver": driver, **ANSWERS[name]})


@pytest.fixture(scope="module")
def driver(deployed: Path) -> str:
    recorded: str = yaml.safe_load((deployed / ".copier-answers.yml").read_text())["driver"]
    return recorded


@pytest.fixture(scope="module")
def kustomization(deployed: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((deployed / FOLDER / "kustomization.yaml").read_text())
    return parsed


@pytest.fixture(scope="module")
def manifests(deployed: Path) -> dict[str, dict[str, Any]]:
    """Kind -> what stands in its file, all but the kustomization. Tests only read it."""
    files = [file for file in sorted((deployed / FOLDER).iterdir()) if file.name != "kustomization.yaml"]
    parsed = [yaml.safe_load(file.read_text()) for file in files]
    assert len({manifest["kind"] for manifest in parsed}) == len(parsed) == 6
    return {manifest["kind"]: manifest for manifest in parsed}


@pytest.fixture(scope="module")
def pods(manifests: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The templates of all pods."""
    return [manifests[kind]["spec"]["template"] for kind in ("Deployment", "Job")]


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def number(file: Path, pattern: str) -> float:
    """What a source says."""
    found = re.search(pattern, file.read_text(), re.MULTILINE)
    assert found, f"{file} has no {pattern}"
    return float(found[1])


# Kubernetes


@pytest.mark.parametrize("version", ["1.34", "newest"])  # 1.34: the first in which all that is used is stable
def test_each_manifest_satisfies_the_schema_of_kubernetes(manifests: dict[str, dict[str, Any]], version: str) -> None:
    wanted = kubernetes_validate.latest_version() if version == "newest" else version
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, wanted, strict=True)
    misspelt = deepcopy(manifests["Deployment"])
    misspelt["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(misspelt, wanted, strict=True)


def test_the_kustomization_names_every_manifest_and_their_image(
    deployed: Path, kustomization: dict[str, Any], pods: list[dict[str, Any]]
) -> None:
    files = {file.name for file in (deployed / FOLDER).iterdir()} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    (image,) = kustomization["images"]
    assert {container["image"] for pod in pods for container in pod["spec"]["containers"]} == {image["name"]}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl is on the PATH")
def test_kubectl_builds_the_kustomization(deployed: Path, kustomization: dict[str, Any]) -> None:
    command = ["kubectl", "kustomize", str(deployed / FOLDER)]
    built = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    assert built.count(f"image: {kustomization['images'][0]['newName']}:") == 2


def test_every_name_is_one_that_kubernetes_takes(manifests: dict[str, Any]) -> None:
    for manifest in manifests.values():
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])


def test_the_service_the_budget_and_the_autoscaler_mean_the_pods_of_the_service_alone(
    manifests: dict[str, Any], pods: list[dict[str, Any]]
) -> None:
    serving, migrating = (pod["metadata"]["labels"] for pod in pods)
    deployment = manifests["Deployment"]
    for selector in (
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pods[0]["spec"]["topologySpreadConstraints"]),
    ):
        assert selector.items() <= serving.items()
        assert not selector.items() <= migrating.items()
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    policed = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert policed.items() <= serving.items() & migrating.items()


def test_the_components_can_be_applied_one_after_the_other(manifests: dict[str, Any]) -> None:
    """As docs/running.md says: the migration by its label, then the rest by the other."""
    labels = {kind: manifest["metadata"]["labels"] for kind, manifest in manifests.items()}
    components = {kind: of_kind["app.kubernetes.io/component"] for kind, of_kind in labels.items()}
    assert components.pop("Job") == "migration"
    assert set(components.values()) == {"service"}
    hooks = manifests["Job"]["metadata"]["annotations"]
    assert hooks["argocd.argoproj.io/hook"] == "PreSync"
    assert manifests["Job"]["spec"]["template"]["spec"]["containers"][0]["command"] == ["alembic", "upgrade", "head"]


def test_the_connections_of_all_pods_fit_in_the_server_or_the_manifest_says_so(
    deployed: Path, manifests: dict[str, Any], pods: list[dict[str, Any]], driver: str
) -> None:
    set_, autoscaler = environment(pods[0]), manifests["HorizontalPodAutoscaler"]["spec"]
    pool = [int(set_[f"DATABASE_{name}"]) for name in ("POOL_SIZE", "MAX_OVERFLOW")]
    settings = (deployed / "app" / "settings.py").read_text()
    assert [int(found) for found in re.findall(r"(?:pool_size|max_overflow): int = Field\((\d+)", settings)] == pool
    spare = number(deployed / "app" / "database" / "dialect.py", r"^SPARE_CONNECTIONS = (\d+)")
    surge = manifests["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    most, least = autoscaler["maxReplicas"], autoscaler["minReplicas"]
    assert 2 <= least <= most
    needed = (most + surge) * int(set_["WEB_CONCURRENCY"]) * (sum(pool) + spare)
    comment = (deployed / FOLDER / "autoscaler.yaml").read_text().partition("apiVersion")[0]
    assert f" = {needed:.0f}\n" in comment
    assert f"By default it is {LIMITS[driver]}." in comment
    assert ("RAISE IT" in comment) == (needed > LIMITS[driver] - RESERVE)
    assert most == least or needed <= LIMITS[driver] - RESERVE
    assert "replicas" not in manifests["Deployment"]["spec"], "each apply would undo what the autoscaler did"


def test_each_variable_of_a_pod_is_a_setting(deployed: Path, pods: list[dict[str, Any]]) -> None:
    known = set(re.findall(r"^(?:# )?([A-Z_]+)=", (deployed / ".env.example").read_text(), re.MULTILINE))
    assert {name for pod in pods for name in environment(pod)} <= known
    assert all("DATABASE_URL" in environment(pod) for pod in pods)


def test_no_secret_stands_in_a_manifest(pods: list[dict[str, Any]]) -> None:
    for pod in pods:
        assert environment(pod)["DATABASE_URL"].keys() == {"secretKeyRef"}


def test_the_pods_satisfy_the_restricted_pod_security_standard(deployed: Path, pods: list[dict[str, Any]]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    (user,) = re.findall(r"^USER (\d+)$", (deployed / "Dockerfile").read_text(), re.MULTILINE)
    for pod in pods:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == int(user)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "a Service `database` would set DATABASE_PORT"
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert all(volume.keys() <= {"name", "emptyDir", "secret"} for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"].keys() == {"memory"}


def test_probes_and_limits_fit_the_times_of_the_service(deployed: Path, pods: list[dict[str, Any]]) -> None:
    (container,) = pods[0]["spec"]["containers"]
    start, live, ready = (container[f"{name}Probe"] for name in ("startup", "liveness", "readiness"))
    assert {p["httpGet"]["path"] for p in (start, live)} == {"/health/live"}
    assert ready["httpGet"]["path"] == "/health/ready"
    assert ready["timeoutSeconds"] > number(deployed / "app" / "health.py", r"timeout: float = ([\d.]+)")
    waits = number(deployed / "app" / "settings.py", r"startup_timeout: float = Field\((\d+)")
    assert start["periodSeconds"] * start["failureThreshold"] >= 2 * waits
    drain = number(deployed / "app" / "__main__.py", r'"timeout_graceful_shutdown": (\d+)')
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pods[0]["spec"]["terminationGracePeriodSeconds"] >= pause + drain + 5
    assert re.search(rf"within {drain:.0f}, and has", " ".join((deployed / "docs" / "running.md").read_text().split()))


def test_the_policy_lets_through_what_the_service_needs(
    manifests: dict[str, Any], pods: list[dict[str, Any]], driver: str
) -> None:
    policy = manifests["NetworkPolicy"]["spec"]
    (container,) = pods[0]["spec"]["containers"]
    (port,) = container["ports"]
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert policy["ingress"] == [{"ports": [{"port": port["containerPort"]}]}]
    outwards = {each["port"] for rule in policy["egress"] for each in rule["ports"]}
    assert outwards == {53, {"asyncpg": 5432, "aiomysql": 3306}[driver]}


# Workflows and scripts


def lint(*command: str | Path, cwd: Path) -> None:
    executable, *arguments = map(str, command)
    tool = Path(sys.executable).parent / executable
    done = subprocess.run([tool, *arguments], cwd=cwd, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["template", *DRIVERS])
def workflows(request: pytest.FixtureRequest, part: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository whose workflows are looked at: this one, or that of a service."""
    if request.param == "template":
        return ROOT
    return render(part, tmp_path_factory.mktemp("workflows") / NAME, {"driver": request.param})


def test_the_workflows_pass_zizmor(workflows: Path) -> None:
    lint("zizmor", "--offline", "--quiet", "--no-progress", ".github", cwd=workflows)


def test_the_scripts_inside_of_workflows_pass_shellcheck(workflows: Path, tmp_path: Path) -> None:
    for file in (workflows / ".github" / "workflows").iterdir():
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            for number, script in enumerate(step["run"] for step in job["steps"] if "run" in step):
                (tmp_path / f"{file.stem}-{name}-{number}").write_text(script)
    scripts = [file for file in tmp_path.iterdir() if file.is_file()]
    assert scripts
    lint("shellcheck", "--shell=bash", *scripts, cwd=tmp_path)


def test_each_action_is_pinned_to_a_commit_and_says_which_version_it_is(workflows: Path) -> None:
    text = "".join(file.read_text() for file in (workflows / ".github" / "workflows").iterdir())
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+( .*)?", use)] == []


def test_the_scripts_pass_shellcheck() -> None:
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    named = [ROOT / name for name in listed if name and not Path(name).suffix and (ROOT / name).is_file()]
    scripts = [file for file in named if re.match(rb"#!.*\b(?:ba)?sh\b", file.read_bytes()[:40])]
    assert {script.name for script in scripts} >= {"run", "with-tools"}
    lint("shellcheck", *scripts, cwd=ROOT)


# Bots


def satisfies(schema: str, file: Path) -> None:
    lint("check-jsonschema", "--builtin-schema", schema, file.name, cwd=file.parent)


@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_a_bot_changes_the_lock_alone(part: Path, tmp_path: Path, ci: str) -> None:
    """A line that a bot and `copier update` both change is a conflict."""
    service = render(part, tmp_path / NAME, {"ci": ci})
    dependabot, renovate = service / ".github" / "dependabot.yml", service / "renovate.json"
    assert (dependabot.exists(), renovate.exists()) == (ci == "github", ci == "gitlab")
    if ci == "github":
        satisfies("vendor.dependabot", dependabot)
        (update,) = yaml.safe_load(dependabot.read_text())["updates"]
        assert (update["package-ecosystem"], update["versioning-strategy"]) == ("uv", "lockfile-only")
    if ci == "gitlab":
        satisfies("vendor.renovate", renovate)
        rules = json.loads(renovate.read_text())
        assert rules["enabledManagers"] == ["pep621"]
        assert rules["packageRules"] == [
            {"matchPackageNames": ["*"], "enabled": False},
            {"matchUpdateTypes": ["lockFileMaintenance"], "enabled": True},
        ]


# Hooks


def test_the_hooks_satisfy_the_schema_of_pre_commit(deployed: Path) -> None:
    prek = Path(sys.executable).with_name("prek")
    lint(prek, "validate-config", ".pre-commit-config.yaml", cwd=deployed)


@pytest.mark.slow
def test_the_hooks_pass_a_rendered_service_and_refuse_what_is_wrong(snapshot: Path, tmp_path: Path) -> None:
    service = Service(render(snapshot, tmp_path / NAME, COMBINATIONS[0]))
    service.run("uv", "sync", "--quiet")
    commit(service.path, "Scaffold")
    prek = str(Path(sys.executable).with_name("prek"))
    passed = service.run(prek, "run", "--all-files")
    assert passed.count("Passed") == 5, passed
    module = service.path / "app" / "wrong.py"
    for text, hook in (
        ("import os\n", "ruff check"),
        ("x = [1,2]\n", "ruff format"),
        ('x: int = "1"\n', "mypy"),
        ("<<<<<<< before updating\n", "no markers of a conflict are left"),
    ):
        module.write_text(text)
        git(service.path, "add", "--all")
        with pytest.raises(CommandFailed, match=rf"{re.escape(hook)}\.+Failed"):
            service.run(prek, "run")
    git(service.path, "rm", "--quiet", "--force", "app/wrong.py")
    project = service.path / "pyproject.toml"
    project.write_text(project.read_text().replace('  "stamina', '  "httpx>=0.28",\n  "stamina'))
    git(service.path, "add", "--all")
    with pytest.raises(CommandFailed, match=r"uv.lock fits pyproject.toml\.+Failed"):
        service.run(prek, "run")
