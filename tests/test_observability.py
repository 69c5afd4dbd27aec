"""The dashboard and the alerts: each query is run by a real Prometheus against a service at work.

Grafana itself cannot be had from any package registry: what it reads is checked for its form.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from harness import COMBINATIONS, NAME, ROOT, combination_id, render
from replication import replicated
from services import Service, database_url, free_port, python_called

PATH = os.pathsep.join([os.environ["PATH"], str(ROOT / ".tools" / "prometheus" / "usr" / "bin")])
LABELS = {"http_route", "http_request_method", "http_response_status_code"}
NAMES = re.compile(r"\b(?:http_server|database|process)_\w+")
# A bug, as a team may have one: else there is no status of 500 and above to look at.
BROKEN = """
broken = APIRouter()
routers.append(broken)


@broken.get("/broken")
async def fail() -> None:
    from fastapi import HTTPException

    raise HTTPException(500)  # what nobody catches costs the client its connection, too
"""
ADA = {"name": "Ada", "email": "ada@example.com", "specialty": "analysis"}


@pytest.fixture(scope="session")
def deploy(rendered: Callable[[dict[str, str]], Path]) -> Path:
    return rendered(COMBINATIONS[0]) / "deploy"


def rules(deploy: Path) -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((deploy / "prometheus" / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def panels(deploy: Path) -> list[dict[str, Any]]:
    dashboard = json.loads((deploy / "grafana" / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(deploy: Path) -> list[str]:
    """Those of the dashboard, as Grafana would send them for all instances of the service."""
    chosen = {"$job": NAME, "$instance": ".*", "$__rate_interval": "10s"}
    found = [target["expr"] for panel in panels(deploy) for target in panel["targets"]]
    return [re.sub("|".join(map(re.escape, chosen)), lambda variable: chosen[variable[0]], query) for query in found]


def promtool(*arguments: str, cwd: Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(shutil.which("promtool", path=PATH)), *arguments]
    return subprocess.run(command, cwd=cwd, input=text, text=True, capture_output=True)


def test_each_alert_says_where_the_docs_say_what_it_means_and_what_to_do(deploy: Path) -> None:
    sections = re.findall(r"^## (\w+)$", (deploy.parent / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in rules(deploy)] == sections
    for rule in rules(deploy):
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].startswith("{{$labels.job}}: ")


def test_each_panel_that_names_an_alert_names_one_and_each_alert_of_a_rate_has_a_panel(deploy: Path) -> None:
    named = {name for panel in panels(deploy) for name in re.findall(r"Alert: (\w+)", panel["description"])}
    assert named == {rule["alert"] for rule in rules(deploy)} - {"ServiceDown"}


def test_the_panels_do_not_cover_one_another(deploy: Path) -> None:
    dashboard = json.loads((deploy / "grafana" / "dashboard.json").read_text())
    cells = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert {panel["datasource"]["uid"] for panel in panels(deploy)} == {"$datasource"}


def test_compose_mounts_what_is_there_where_the_others_look_for_it(deploy: Path) -> None:
    services = yaml.safe_load((deploy.parent / "compose.yaml").read_text())["services"]
    observing = {name: service for name, service in services.items() if service.get("profiles") == ["observability"]}
    assert set(observing) == {"prometheus", "grafana"}
    mounted = dict(v.removesuffix(":ro").split(":") for s in observing.values() for v in s["volumes"] if v[0] == ".")
    assert all((deploy.parent / source).exists() for source in mounted)
    (scraped,) = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = scraped["dns_sd_configs"]
    assert f":{found['port']}" in services[found["names"][0]]["ports"][0][-5:]
    provisioning = deploy / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "service.yml").read_text())["providers"]
    home = observing["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == mounted["./deploy/grafana/dashboard.json"]
    assert home.startswith(provider["options"]["path"])


@pytest.mark.slow
def test_prometheus_accepts_the_rules_and_its_configuration(deploy: Path) -> None:
    for kind, file in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        done = promtool("check", kind, file, cwd=deploy / "prometheus")
        assert done.returncode == 0, done.stdout + done.stderr


# What is one step worse than in tests/data/alerts_test.yml, for each alert.
WORSE = {
    "ServiceDown": ('up{job="orders", instance="a"}', "1x30 0x30"),
    "ServiceErrors": (
        'http_server_request_duration_seconds_count{job="orders", instance="a", http_route="/o",'
        ' http_response_status_code="500"}',
        "0+11x60",
    ),
    "ServiceSlow": (
        'http_server_request_duration_seconds_bucket{job="orders", instance="a", http_route="/o", le="1"}',
        "0+94x60",
    ),
    "DatabasePoolFull": ('database_pool_in_use{job="orders", instance="a", pool="primary"}', "19x60"),
    "DatabasePoolWaits": ('database_pool_wait_seconds_bucket{job="orders", instance="a", le="0.1"}', "0+94x60"),
    "DatabaseRefusals": ('database_pool_refused_total{job="orders", instance="a"}', "7+1x60"),
    "DatabaseRetries": ('database_transactions_retried_total{job="orders", instance="a"}', "0+101x60"),
    "DatabaseTransactionsLost": (
        'database_transactions_total{job="orders", instance="a", outcome="lost"}',
        "0+11x60",
    ),
    "DatabaseSlowStatements": ('database_slow_statements_total{job="orders", instance="a"}', "0+11x60"),
    "DatabaseReplicaBehind": (
        'database_replica_lag_seconds{job="orders", instance="a", pool="replica"}',
        "30x40 31x20",
    ),
}


def fired(deploy: Path, folder: Path, worse: dict[str, str]) -> set[str]:
    """The alerts that fire after 50 minutes, when these series are not as in a service with which nothing is wrong."""
    suite = yaml.safe_load((ROOT / "tests" / "data" / "alerts_test.yml").read_text())
    (test,) = suite["tests"]
    assert {one["alertname"] for one in test["alert_rule_test"]} == {rule["alert"] for rule in rules(deploy)}
    series = {one["series"]: one["values"] for one in test["input_series"]}
    assert worse.keys() <= series.keys()
    test["input_series"] = [{"series": name, "values": values} for name, values in (series | worse).items()]
    shutil.copy(deploy / "prometheus" / "alerts.yml", folder)
    (folder / "alerts_test.yml").write_text(yaml.safe_dump(suite))
    done = promtool("test", "rules", "alerts_test.yml", cwd=folder)
    found = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert bool(done.returncode) == bool(found), done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_no_alert_fires_at_its_threshold_and_each_one_alone_just_beyond(deploy: Path, tmp_path: Path) -> None:
    assert fired(deploy, tmp_path, {}) == set()
    assert {name: fired(deploy, tmp_path, {series: values}) for name, (series, values) in WORSE.items()} == {
        rule["alert"]: {rule["alert"]} for rule in rules(deploy)
    }


@contextmanager
def prometheus(deploy: Path, folder: Path, target: str) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes the target as the service's own configuration says, only more often."""
    shutil.copytree(deploy / "prometheus", folder / "prometheus")
    file = folder / "prometheus" / "prometheus.yml"
    configuration = yaml.safe_load(file.read_text())
    (job,) = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    configuration["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "1s"}
    file.write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = [
        str(shutil.which("prometheus", path=PATH)),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = (folder / "prometheus.log").open("w+")
    with log, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            until(lambda: is_ready(client) or process.poll() is not None)
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            yield client
        finally:
            process.terminate()
            process.wait(30)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def until(happened: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def asked(client: httpx.Client, query: str) -> list[float]:
    """The values that a query has now. Raises AssertionError for one that Prometheus does not understand."""
    answer = client.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", f"{query}: {answer}"
    return [float(result["value"][1]) for result in answer["data"]["result"]]


def work(client: httpx.Client, number: int) -> None:
    """Requests of all kinds, and of each outcome."""
    email = f"{number}@example.com"
    created = client.post("/developers", json=ADA | {"email": email})
    assert created.status_code == 201, created.text
    assert client.post("/developers", json=ADA | {"email": email}).status_code == 409
    assert client.get(created.headers["Location"]).status_code in (200, 404)  # from the replica, which may be behind
    assert client.get("/nobody/knows").status_code == 404
    assert client.get("/broken").status_code == 500
    assert client.get("/health/ready").status_code == 200


def without_threshold(query: str) -> str:
    """What an alert looks at: the query of one that does not fire has no result."""
    return re.sub(r"(?s)^up == 0", "up == 1", re.sub(r"\s*> [\d.]+\s*$", "", query))


def stated_names(service: Path) -> set[str]:
    """The metrics of docs/metrics.md; what it says of a whole family, `process_*`, is none."""
    table = re.findall(r"^\| (`.*?) \|", (service / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {name for row in table for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.slow
@pytest.mark.parametrize("combination", [COMBINATIONS[0], COMBINATIONS[3]], ids=combination_id)
def test_each_query_of_dashboard_and_alerts_has_data_from_a_service_at_work(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    service = Service(render(snapshot, tmp_path / NAME, combination), python_called("newest"), {"MYSQLD": ""})
    service.run("uv", "sync", "--quiet")
    with (service.path / "app" / "extensions.py").open("a") as extensions:
        extensions.write(BROKEN)
    deploy = service.path / "deploy"
    with ExitStack() as stack:
        servers = stack.enter_context(replicated(service))
        url, replica = database_url(servers.primary), database_url(servers.replica)
        environment = {"DATABASE_REPLICA_URL": replica, "WEB_CONCURRENCY": "2", "TMPDIR": str(tmp_path)}
        observed = replace(service, environment={**service.environment, **environment})
        client = stack.enter_context(observed.serving(url))
        observer = stack.enter_context(prometheus(deploy, tmp_path, client.base_url.netloc.decode()))
        numbers = iter(range(1_000_000))

        def scraped() -> bool:
            work(client, next(numbers))
            return asked(observer, "count_over_time(up[1m]) > 12") != []

        until(scraped)
        shown = client.get("/metrics").text
        samples = set(re.findall(r"^(\w+)[{ ]", shown, re.MULTILINE))
        lagging = [q for q in queries(deploy) if "replica" in q]
        assert lagging
        for query in [*queries(deploy), *(without_threshold(rule["expr"]) for rule in rules(deploy))]:
            assert set(NAMES.findall(query)) - LABELS <= samples, query
            values = asked(observer, query)
            assert values, f"no data: {query}"
            assert all(value == value for value in values), f"{query}: {values}"
        health = observer.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in health} == {"ok"}, health
        families = set(re.findall(r"^# TYPE (\w+) ", shown, re.MULTILINE))
        own = {name for name in families if name.startswith(("http_server_", "database_"))}
        assert own == stated_names(service.path)
        promtool_accepts(shown, tmp_path)
        until(lambda: asked(observer, "database_replica_lag_seconds") == [0])
        servers.pause()
        work(client, next(numbers))
        until(lambda: asked(observer, "database_replica_lag_seconds > 1"))
        servers.resume()
        until(lambda: asked(observer, "database_replica_lag_seconds == 0"))


def promtool_accepts(shown: str, folder: Path) -> None:
    done = promtool("check", "metrics", cwd=folder, text=shown)
    assert done.returncode == 0, done.stdout + done.stderr
