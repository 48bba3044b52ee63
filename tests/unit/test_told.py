"""What PLC, MQTT, metrics, /healthz and page are told in each state: the table in docs/safety.md, row by row."""

import json
import re
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from support.verdicts import verdict

from edge_inspector import metrics
from edge_inspector.codes import CommandName, Decision, ErrorCode, StationState
from edge_inspector.inspection.control import Control
from edge_inspector.inspection.recipe import ClassLimits, Criteria, Recipe
from edge_inspector.inspection.timeline import Motion, Timeline
from edge_inspector.mqtt.messages import state_message
from edge_inspector.plc.blocks import EDGE_HEADER
from edge_inspector.plc.edge_records import EdgeRecords
from edge_inspector.records import Command, Identity, ModelInfo, StationStatus
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.judge import Judge
from edge_inspector.watches.alarms import Telling
from edge_inspector.watches.placing import Geometry
from edge_inspector.web.health import health

ROOT = Path(__file__).parents[2]
LANGUAGES = ROOT / "edge_inspector" / "web" / "languages"
IDENTITY = Identity(
    station="press-3", boot_id=77, state_dir=Path("/nowhere"), counts_per_mm=10.0, defect_classes=("crack",)
)
RECIPE = Recipe.model_validate(
    {
        "id": 4,
        "name": "tile",
        "model": "m-1",
        "views": ["top"],
        "part_length_mm": 50,
        "min_pitch_mm": 60,
        "position_tolerance_mm": 5,
    }
)


class Station:
    """What decides what is told, without a line."""

    def __init__(self) -> None:
        criteria = {4: Criteria(RECIPE, {"crack": ClassLimits(min_area_mm2=1)})}
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.control = Control(criteria, 4, self.conditions.reset)
        self.telling = Telling(self.conditions)
        judge = Judge(
            boot_id=77,
            geometry=Geometry(counts_per_mm=10.0, speed_max=10_000.0, gate=15_000, reserve=1000, offsets={"top": 5000}),
            recipes=criteria,
            control=self.control,
            basis=ModelInfo(
                "m", "1", "", ("crack",), height=8, width=8, channels=1, stride=1, precision="int8", provider="cpu"
            ),
            timeline=Timeline(Motion(10_000, 50_000)),
            inbox=Mailbox("judge", 8),
            links=[],
            archive=Mailbox("archive", 8),
            conditions=self.conditions,
            backlog=lambda: 0,
            arrived=lambda _: None,
        )
        self.status: Callable[[], StationStatus] = judge.status

    def disable(self) -> None:
        self.control.take(Command("page:anna", "1", CommandName.DISABLE, lambda _: None), time.monotonic_ns())
        self.telling.settle(self.control.off, RECIPE)

    def decide(self, decision: Decision, count: int = 5) -> None:
        for seq in range(count):
            self.telling.count(verdict(seq, decision), RECIPE.alarm)

    def fail_challenge(self) -> None:
        self.conditions.is_vital(ErrorCode.CHALLENGE_FAILED, "recipe 4")
        self.wrong(ErrorCode.CHALLENGE_FAILED, "recipe 4", "scratch 2 must be reject, and was accept")

    def wrong(self, code: ErrorCode, subject: str, why: str) -> None:
        self.conditions.set(code, subject, why)


HAPPENS: dict[str, Callable[[Station], None]] = {
    "inspection is switched off": Station.disable,
    "the model is too slow, no part is inspected": lambda station: station.decide(Decision.NOT_INSPECTED),
    "a few parts are not inspected": lambda station: station.decide(Decision.NOT_INSPECTED, 3),
    "the PLC is lost": lambda station: station.wrong(ErrorCode.PLC_LOST, "plc", "no answer in time"),
    "the broker is lost": lambda station: station.wrong(ErrorCode.BROKER_LOST, "broker", "connection refused"),
    "many rejects in a row": lambda station: station.decide(Decision.REJECT),
    "a challenge failed, and may block the line": lambda station: station.fail_challenge(),
    "another writer in the PLC": lambda station: station.wrong(ErrorCode.OTHER_WRITER, "plc", "parts 4 and 5"),
}


def rows() -> dict[str, list[str]]:
    """The table's cells by what is wrong."""
    _, _, rest = (ROOT / "docs" / "safety.md").read_text().partition("## What each reader is told\n")
    lines = re.findall(r"^\|(.*)\|$", rest.partition("\n## ")[0], re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    return {first: others for first, *others in cells}


def texts(tag: str = "en") -> dict[str, str]:
    told: dict[str, str] = json.loads((LANGUAGES / f"{tag}.json").read_text())
    return told


def test_the_table_is_of_what_is_tried_here() -> None:
    assert list(rows()) == list(HAPPENS)


@pytest.mark.parametrize("what", HAPPENS)
def test_each_reader_is_told_what_the_table_says(what: str) -> None:
    station = Station()
    HAPPENS[what](station)
    assert rows()[what] == [
        plc_cell(station.status()),
        mqtt_cell(station.status()),
        metrics_cell(station.conditions),
        healthz_cell(station.conditions),
        page_cell(station.conditions),
    ]


def plc_cell(status: StationStatus) -> str:
    header = EDGE_HEADER.unpack(
        EdgeRecords(IDENTITY, None).header(status, heartbeat=1, session_id=1, plc_boot_id=7, last_seq=0)
    )
    assert header is not None
    meaning = next(field.meaning for _, field in EDGE_HEADER.offsets() if field.name == "status")
    names = meaning.removeprefix("bits from 0: ").partition(".")[0].split(", ")
    bits = [f"`{name}`" for bit, name in enumerate(names) if header["status"] & 1 << bit]
    return ", ".join([*bits, str(header["error_code"])])


def mqtt_cell(status: StationStatus) -> str:
    said = json.loads(state_message(status, IDENTITY, utc_of(0)).model_dump_json())
    return f"`{said['state']}`, `{said['error']}`" + (", `alarm`" if said["alarm"] else "")


def metrics_cell(conditions: Conditions) -> str:
    held = conditions.snapshot()
    metrics.show_state(conditions.state)
    metrics.show_conditions(held, held)
    states = [sample.labels["state"] for sample in metrics.station_state.collect()[0].samples if sample.value]
    (told,) = [
        sample
        for sample in metrics.condition_active.collect()[0].samples
        if (sample.labels["code"], sample.labels["subject"]) == (held[0][0].name.lower(), held[0][1])
    ]
    assert told.value == 1
    metrics.show_conditions([], held)
    gone = metrics.condition_active.labels(told.labels["code"], told.labels["subject"])
    assert gone.collect()[0].samples[0].value == 0, "what is over is 0, not gone"
    assert len(states) == 1
    return f"`{states[0]}`, `{told.labels['code']}`"


def healthz_cell(conditions: Conditions) -> str:
    healthy, body = health(conditions, {"judge": True}, supervised=True)
    (held,) = conditions.reasons()
    assert body["conditions"] == [f"{held.code.name.lower()} {held.subject}"]
    assert body["error_code"] == int(held.code)
    (reason,) = body["reasons"]
    assert reason.pop("since_s") >= 0
    assert reason == {
        "code": held.code.name.lower(),
        "number": int(held.code),
        "subject": held.subject,
        "why": held.why,
    }
    assert held.why
    return f"{200 if healthy else 503}, `{body['state']}`"


def page_cell(conditions: Conditions) -> str:
    """The state's name, and what it means for the parts: the second line, or else the first without the remedy."""
    ((code, _),) = conditions.snapshot()
    said, name = texts(), code.name.lower()
    script = (files("edge_inspector.web") / "static" / "conditions.js").read_text(encoding="utf-8")
    found = re.search(r"const UNINSPECTED = (\[.*?\]);", script, re.DOTALL)
    assert found is not None
    if name in json.loads(found[1]):
        name = "not_inspected"
    keys = (f"then.{name}.{RECIPE.on_not_inspected}", f"then.{name}", f"code.{name}")
    text = next(said[key] for key in keys if key in said).removesuffix(f" {code.remedy}".replace("`", ""))
    return f"{said[f'state.{conditions.state.value}']}: {text}".replace("{name}", "plc")


def test_a_worker_that_hangs_is_not_healthy_whatever_the_state() -> None:
    conditions = Conditions()
    conditions.phase(StationState.READY)
    assert health(conditions, {"judge": True}, supervised=True)[0]
    assert not health(conditions, {"judge": False}, supervised=False)[0]
    assert [health(conditions, {}, supervised=each)[1]["alive"] for each in (True, False)] == [True, False]
