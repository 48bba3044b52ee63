"""A real Prometheus of a hall, and one of the plant: recorded series arrive, and the panels have answers."""

import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.prometheus_server import DEPLOY, ask, hall_of, plant_of, prometheus, until
from support.simulated_stations import SimulatedStation, SimulatedStations

from edge_inspector.codes import StationState

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

BOARD = json.loads((DEPLOY / "grafana" / "plant" / "plant.json").read_text())
URGENCY = "instance:edge_inspector_state:urgency"


def test_what_a_hall_records_is_shown_in_the_plant(tmp_path: Path) -> None:
    stations = [SimulatedStation("line-1"), SimulatedStation("line-2", state=StationState.STARTING)]
    with ExitStack() as stack:
        server = stack.enter_context(SimulatedStations(*stations))
        hall = stack.enter_context(prometheus(tmp_path / "hall", hall_of(server)))
        plant = stack.enter_context(prometheus(tmp_path / "plant", plant_of(hall)))
        until(plant, f'{URGENCY}{{site="hall-1", job="edge-inspector", instance="line-1"}} == 0')
        until(plant, f'{URGENCY}{{site="hall-1", instance="line-2"}} == 1')
        stations[0].answers = lambda _: b""
        until(plant, f'{URGENCY}{{site="hall-1", instance="line-1"}} == 5')
        until(plant, 'instance_station:edge_inspector_station:info{site="hall-1", station="line-2"}')
        asked = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
        filled = [re.sub(r"\$site", "hall-.*", expression) for expression in asked]
        answered = [expression for expression in filled if ask(plant, expression)]
        assert len(answered) >= 7, answered
