"""The drift watch on the running line: a lamp fails, and metric, warning and page say so."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from edge_inspector.commands.reference import learn_reference
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation.demo import Demo
from edge_inspector.simulation.options import DemoOptions

pytestmark = pytest.mark.system

_PATIENCE_S = 90.0  # of a busy machine; it takes 20 s
_LAMP_FAILS_AT = 260
ACTIVE = 'edge_inspector_condition_active{code="drift",subject="cam1 brightness"} 1.0'


def ask(demo: Demo, path: str) -> Any:
    url = f"http://127.0.0.1:{demo.ports['web']}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
    except HTTPError as error:  # healthz of a station with a fault
        with error:
            text = error.read().decode()
    return text if path == "metrics" else json.loads(text)


def drifted(demo: Demo) -> set[str]:
    return {each["subject"] for each in ask(demo, "api/health")["conditions"] if each["code"] == "drift"}


def test_a_lamp_that_fails_is_told_by_metric_warning_and_page(tmp_path: Path) -> None:
    options = DemoOptions(
        cameras=1, model_ms=1.0, speed_mm_s=7000.0, pitch_mm=250.0, parts=100_000, dim_from=_LAMP_FAILS_AT
    )
    demo = Demo(options, tmp_path)
    until = time.monotonic() + _PATIENCE_S
    learnt = None
    with demo.running():
        assert ask(demo, "api/drift") is None
        while learnt is None and time.monotonic() < until:
            time.sleep(0.2)
            try:
                learnt = learn_reference(tmp_path / "state", None, None, None)
            except EdgeInspectorError:  # not enough parts yet
                continue
        assert learnt is not None
        while "cam1 brightness" not in drifted(demo) and time.monotonic() < until:
            time.sleep(0.2)
        assert "cam1 brightness" in drifted(demo)
        seen, metrics = ask(demo, "api/drift"), ask(demo, "metrics")
        while ACTIVE not in metrics and time.monotonic() < until:  # conditions become metrics now and then
            time.sleep(0.2)
            metrics = ask(demo, "metrics")
        while ask(demo, "healthz")["state"] != "ready" and time.monotonic() < until:  # parts that came late here
            time.sleep(0.2)
        assert ask(demo, "healthz")["state"] == "ready", "a warning is for people"
    assert seen["parts"] == learnt.parts
    worst = {(each["subject"], each["quantity"]): each["index"] for each in seen["indices"]}
    assert worst["cam1", "brightness"] > seen["limit"]
    assert seen["chart"][-1]["rate"] > 0, "the simulated model rejects nearly every part"
    told = [line for line in metrics.splitlines() if line.startswith("edge_inspector_drift_psi{")]
    (index,) = [float(line.split()[1]) for line in told if 'quantity="brightness",subject="cam1"' in line]
    assert index > seen["limit"]
    assert ACTIVE in metrics
