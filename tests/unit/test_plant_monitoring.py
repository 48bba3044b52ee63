"""Federation, recording rules and the dashboard of a plant: read by promtool, and held to each other."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_inspector.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
BOARD = json.loads((GRAFANA / "plant" / "plant.json").read_text())
RULES = [
    rule for group in yaml.safe_load((PROMETHEUS / "recording.yml").read_text())["groups"] for rule in group["rules"]
]
(SCRAPE,) = yaml.safe_load((PROMETHEUS / "plant.yml").read_text())["scrape_configs"]

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")


def tool(*arguments: str | Path) -> None:
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def expressions() -> Iterator[str]:
    for panel in BOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


@promtool
def test_prometheus_accepts_rules_and_configuration() -> None:
    tool("check", "rules", PROMETHEUS / "recording.yml")
    tool("check", "config", PROMETHEUS / "plant.yml")


@promtool
def test_each_rule_records_what_it_says() -> None:
    tool("test", "rules", PROMETHEUS / "tests" / "recording.yml")
    tested = (PROMETHEUS / "tests" / "recording.yml").read_text()
    assert [rule["record"] for rule in RULES if f"'{rule['record']}{{" not in tested] == []


@promtool
def test_prometheus_with_the_recording_rules_is_valid(tmp_path: Path) -> None:
    shipped = (PROMETHEUS / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(shipped.replace("# - recording.yml", "- recording.yml"))
    for name in ("rules.yml", "recording.yml"):
        shutil.copy(PROMETHEUS / name, tmp_path)
    assert yaml.safe_load((tmp_path / "prometheus.yml").read_text())["rule_files"] == ["rules.yml", "recording.yml"]
    tool("check", "config", tmp_path / "prometheus.yml")


@promtool
def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{at}", "expr": text} for at, text in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    tool("check", "rules", tmp_path / "panels.yml")


def test_the_rules_ask_for_metrics_that_the_daemon_has() -> None:
    names = {name for names in REGISTRY._collector_to_names.values() for name in names} | {"up"}
    asked = {name for rule in RULES for name in re.findall(r"\b(edge_inspector_\w+|up)\b(?=[{\[)])", rule["expr"])}
    assert len(asked) > 4
    assert asked <= names


def test_everything_that_is_recorded_is_federated_and_everything_shown_is_recorded() -> None:
    (matched, *others) = SCRAPE["params"]["match[]"]
    pattern = re.search(r'__name__=~"(.+)"', matched)
    assert pattern is not None
    recorded = {rule["record"] for rule in RULES}
    assert [name for name in recorded if not re.fullmatch(pattern[1], name)] == []
    plain = {re.split(r"\{", each)[0] for each in others}
    shown = {name for text in expressions() for name in re.findall(r"\b(instance\w*:[\w:]+|ALERTS|up)\b(?=\{)", text)}
    assert shown <= recorded | plain
    assert SCRAPE["honor_labels"] is True


def test_the_dashboard_is_complete_and_nothing_overlaps() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert all('site=~"$site"' in target["expr"] for panel in panels() for target in panel["targets"])
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["datasource", "site"]


def test_the_dashboard_is_what_its_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(GRAFANA)
    spec = importlib.util.spec_from_file_location("plant", GRAFANA / "plant.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.plant() == BOARD, "run deploy/grafana/make_dashboards.py"
