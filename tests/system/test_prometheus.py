"""A real Prometheus beside a running station: it scrapes, it loads the shipped rules, and the right alert fires."""

import json
import re
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.prometheus_server import started

from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

DEPLOY = Path(__file__).parents[2] / "deploy"


class Prometheus:
    """The server's HTTP API."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **query: str) -> Any:
        asked = f"{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{asked}", timeout=5) as answer:
            return json.loads(answer.read())["data"]

    def ask(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        return {each["metric"]["alertname"] for each in self.ask('ALERTS{alertstate="firing"}')}

    def until(self, expression: str, within_s: float) -> list[Any]:
        """The first answer that is not empty."""
        end = time.monotonic() + within_s
        while True:
            try:
                if found := self.ask(expression):
                    return found
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < end, f"no {expression} within {within_s} s"
            time.sleep(0.2)


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    """One with the shipped configuration and rules, only faster."""
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text().replace("127.0.0.1:9108", f"127.0.0.1:{target}")
    (folder / "prometheus.yml").write_text(re.sub(r"(_interval): 5s", r"\1: 1s", config))
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"for: \w+", "for: 2s", rules))
    with started(folder) as port:
        yield Prometheus(port)


def panels() -> list[str]:
    models = [json.loads(path.read_text()) for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")]
    return [target["expr"] for model in models for panel in model["panels"] for target in panel.get("targets", [])]


def test_a_killed_broker_raises_its_alert_and_every_panel_has_an_answer(tmp_path: Path) -> None:
    demo = Demo(DemoOptions(cameras=1, model_ms=5.0), tmp_path)
    with demo.running(), prometheus(tmp_path, demo.ports["web"]) as server:
        server.until('up{job="edge-inspector"} == 1', 30)
        server.until('edge_inspector_station_state{state="ready"} == 1', 30)
        server.until("sum(increase(edge_inspector_parts_processed_total[1m])) > 0", 30)
        loaded = [rule for group in server.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in loaded} == {"ok"}
        assert "BrokerLost" not in server.firing()

        demo.broker.kill()
        server.until('ALERTS{alertname="BrokerLost", alertstate="firing", subject="broker"}', 30)
        demo.broker.restart()

        # A panel may be empty where nothing is wrong; it may not be an error, and most must show something.
        instance = f"127.0.0.1:{demo.ports['web']}"
        fill = {"$__rate_interval": "5s", "$__range": "1h", "$instance": instance}
        empty = [expression for expression in panels() if not server.ask(_filled(expression, fill))]
        assert len(empty) < 0.3 * len(panels()), empty
        series = server.ask('count({job="edge-inspector"})')
        assert int(series[0]["value"][1]) < 400


def _filled(expression: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression
