"""Rules, dashboards and runbook: read by Prometheus's own tool, and held to the metrics that the daemon has."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from edge_inspector.codes import ErrorCode
from edge_inspector.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
STORE = GRAFANA / "store" / "store.json"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))

# What Prometheus itself adds to what it scrapes.
TARGET = {"job", "instance"}
OTHERS = {"up": TARGET, "ALERTS": {"alertname", "alertstate"} | TARGET}

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")


def tool(*arguments: str | Path) -> str:
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_metrics() -> dict[str, set[str]]:
    """Every sample name that the registry can give, with its labels."""
    found = dict(OTHERS)
    found |= {sample.name: TARGET for family in REGISTRY.collect() for sample in family.samples}
    for collector in set(REGISTRY._collector_to_names):
        names = REGISTRY._collector_to_names[collector]
        labels = set(getattr(collector, "_labelnames", ()))
        if getattr(collector, "_type", "") == "info":
            labels |= {"station", "version", "recipe", "model", "provider"}
        for name in names:
            found[name] = labels | TARGET | ({"le"} if name.endswith("_bucket") else set())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for board in BOARDS:
        model = json.loads(board.read_text())
        for each in model["annotations"]["list"]:
            yield f"{board.stem}: {each['name']}", each["expr"]
        for panel in model["panels"]:
            for target in panel.get("targets", []):
                yield f"{board.stem}: {panel['title']}", target["expr"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric in a PromQL text with the labels that it is asked for by."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for match in re.finditer(r"\b((?:edge_inspector|process)_\w+|up|ALERTS)\b\s*(?:\{([^}]*)\})?", bare):
        yield match.group(1), set(re.findall(r"(\w+)\s*[=!]", match.group(2) or ""))


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_asks_for_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    known = known_metrics()
    asked = list(selectors(expression))
    assert asked, where
    for metric, labels in asked:
        assert metric in known, f"{where}: there is no {metric}"
        assert labels <= known[metric], f"{where}: {metric} has no label {labels - known[metric]}"


@promtool
def test_prometheus_accepts_configuration_and_rules() -> None:
    tool("check", "config", PROMETHEUS / "prometheus.yml")


@promtool
def test_prometheus_accepts_what_a_station_with_tls_needs(tmp_path: Path) -> None:
    shipped = (PROMETHEUS / "prometheus.yml").read_text()
    encrypted = re.sub(r"^    # (scheme|tls_config): ", r"    \1: ", shipped, flags=re.MULTILINE)
    (scrape,) = yaml.safe_load(encrypted)["scrape_configs"]
    assert (scrape["scheme"], set(scrape["tls_config"])) == ("https", {"ca_file", "server_name"})
    (tmp_path / "prometheus.yml").write_text(encrypted)
    (tmp_path / "rules.yml").write_text((PROMETHEUS / "rules.yml").read_text())
    (tmp_path / scrape["tls_config"]["ca_file"]).touch()
    tool("check", "config", tmp_path / "prometheus.yml")


@promtool
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    tool("test", "rules", PROMETHEUS / "tests" / "rules.yml")


@promtool
def test_prometheus_can_read_every_expression_of_the_dashboards(tmp_path: Path) -> None:
    filled = [text.replace("$__rate_interval", "20s").replace("$__range", "1h") for _, text in expressions()]
    assert not any("$__" in text for text in filled)
    recorded = [{"record": f"panel:{at}", "expr": text} for at, text in enumerate(filled)]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    tool("check", "rules", tmp_path / "panels.yml")


def test_the_process_has_metrics_and_the_unit_hides_nothing_that_they_are_made_from() -> None:
    asked = {metric for _, text in expressions() for metric, _ in selectors(text) if metric.startswith("process_")}
    assert "process_start_time_seconds" in asked
    assert asked <= {sample.name for family in REGISTRY.collect() for sample in family.samples}
    for unit in ("edge-inspector.service", "gpu.conf"):
        assert "\nProcSubset=pid" not in (ROOT / "systemd" / unit).read_text(), "it hides /proc/stat"


def test_each_alert_is_provoked_in_the_rule_tests() -> None:
    cases = (PROMETHEUS / "tests" / "rules.yml").read_text()
    fired = set(re.findall(r'labels: \'\{alertname="(\w+)"\}\'', cases))
    assert fired == {rule["alert"] for rule in rules()}


def test_each_alert_says_how_urgent_it_is_and_where_to_read_on() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "runbook"}, rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_each_condition_that_an_alert_names_is_one() -> None:
    texts = [rule["expr"] for rule in rules()]
    named = {code for text in texts for found in re.findall(r'code!?[=~]+"([^"]+)"', text) for code in found.split("|")}
    assert named
    assert named <= {code.name.lower() for code in ErrorCode}


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]


@pytest.mark.parametrize("board", [*BOARDS, STORE], ids=lambda path: path.stem)
def test_no_panel_overlaps_another(board: Path) -> None:
    panels = json.loads(board.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_of_a_station_shows_the_chosen_one(board: Path) -> None:
    model = json.loads(board.read_text())
    for panel in model["panels"]:
        if panel["type"] != "row":
            assert all('instance="$instance"' in target["expr"] for target in panel["targets"]), panel["title"]
    assert [variable["name"] for variable in model["templating"]["list"]] == ["datasource", "station", "instance"]


def test_the_dashboards_are_what_their_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(GRAFANA)
    for name in ("operators", "engineers"):
        written = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())
        assert getattr(load(name), name)() == written, "run deploy/grafana/make_dashboards.py"
    assert load("store").store() == json.loads(STORE.read_text()), "run deploy/grafana/make_dashboards.py"


def test_every_label_is_documented_with_what_bounds_it() -> None:
    bounds = load_file(ROOT / "docs" / "generate.py").LABELS
    used = {label for collector in REGISTRY._collector_to_names for label in getattr(collector, "_labelnames", ())}
    assert used == set(bounds)


def test_grafana_is_told_of_source_and_dashboards() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["uid"] == "prometheus"
    store = yaml.safe_load((GRAFANA / "store" / "datasource.yml").read_text())["datasources"][0]
    targets = [target for panel in json.loads(STORE.read_text())["panels"] for target in panel.get("targets", [])]
    assert {(target["datasource"]["type"], target["datasource"]["uid"]) for target in targets} == {
        (store["type"], store["uid"])
    }
    boards = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "edge-inspector.yml").read_text())
    assert boards["providers"][0]["type"] == "file"


def load(name: str) -> ModuleType:
    return load_file(GRAFANA / f"{name}.py")


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
