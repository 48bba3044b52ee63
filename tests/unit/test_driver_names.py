"""Only the table of drivers and a driver's own file know its name. All others read what its settings declare."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.page import station_files

from edge_inspector.codes import ErrorCode
from edge_inspector.commands import doctor_station
from edge_inspector.driver_table import FAMILIES, RUNTIMES
from edge_inspector.drivers import DriverSettings, PeerKind, load_driver
from edge_inspector.errors import ConfigError
from edge_inspector.mqtt.link import MqttLink
from edge_inspector.pipeline import build
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.station import file_faults, reader, table_faults
from edge_inspector.station.load import load_station

PACKAGE = Path(__file__).parents[2] / "edge_inspector"
NAMES = {name for drivers in FAMILIES.values() for name in drivers}
MESSAGE = re.compile(rf'\bdriver\s*=?\s*"({"|".join(map(re.escape, NAMES))})"')
MAY_KNOW = {
    "driver_table.py": "the table",
    "simulation/bench/raw.py": "times each runtime by itself, without its driver",
    "simulation/station_files.py": "writes the demo's station file",
    "simulation/lines/kinds.py": "writes the station files of other kinds of line",
}
OTHER_MEANINGS = {
    ("daemon.py", "openvino"): "a provider, as the metric calls it",
    ("commands/size_line.py", "openvino"): "a provider, as the metric calls it",
    ("commands/size_line.py", "simulated"): "a provider, as the metric calls it",
    ("commands/doctor.py", "openvino"): "a package, and advice about it",
    ("runtime/logs.py", "s7"): "the logger of python-snap7",
    ("simulation/lines/simple_plc.py", "s7"): "a protocol",
    ("segmenters/manifest.py", "folder"): "a word",
    ("store/database.py", "folder"): "a word",
    ("web/teach.py", "folder"): "a word",
    ("web/teach.py", "onnx"): "a package that teaching needs",
    ("commands/validate.py", "openvino"): "a package whose version is written down",
}


def own_files(name: str) -> set[str]:
    """The module of each driver with this name, and those beside it that belong to it.

    In a folder with the driver's name, all do. Elsewhere, those whose names begin with the module's name.
    """
    targets = [drivers[name].partition(":")[0] for drivers in FAMILIES.values() if name in drivers]
    modules = [PACKAGE.parent / f"{target.replace('.', '/')}.py" for target in targets]
    patterns = [(module, "*.py" if module.parent.name == name else f"{module.stem}*.py") for module in modules]
    files = [file for module, pattern in patterns for file in module.parent.glob(pattern)]
    return {file.relative_to(PACKAGE).as_posix() for file in files}


def names_in(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in NAMES:
                yield node.value
            yield from MESSAGE.findall(node.value)


def test_nobody_else_knows_a_driver_s_name() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        for name in names_in(path.read_text())
    }
    strangers = {(file, name) for file, name in found if file not in MAY_KNOW and file not in own_files(name)}
    assert strangers - OTHER_MEANINGS.keys() == set(), (
        "let the driver or its Settings declare it: docs/how-to/driver.md"
    )
    assert OTHER_MEANINGS.keys() - strangers == set(), "no longer needed"


def test_a_name_is_found_in_code_and_in_a_message() -> None:
    text = 'if link.driver == "mqtt":\n    raise Error(f"{link.name}: write driver = \\"s7\\" instead")\n'
    assert list(names_in(text)) == ["mqtt", "s7"]


def test_the_runtimes_are_segmenters_that_run_a_model_folder() -> None:
    for name in RUNTIMES:
        assert {"precision", "model_sha256"} <= set(load_driver("segmenters", name).Settings.model_fields)


class Spread(MqttLink):
    """A broker of another make."""

    class Settings(MqttLink.Settings):
        """Its settings."""


class Silent(MqttLink):
    """A driver that says nothing about its peer, as drivers were written before."""

    class Settings(MqttLink.Settings):
        """Its settings."""

        peer_kind: ClassVar[PeerKind | None] = DriverSettings.peer_kind


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station file with the broker as a third-party driver that is called `other`."""
    drivers: dict[str, Any] = {"other": Spread, "silent": Silent}
    for module in (file_faults, reader, table_faults, doctor_station):
        monkeypatch.setattr(module, "load_driver", lambda family, name: drivers.get(name) or load_driver(family, name))
    monkeypatch.setattr("edge_inspector.pipeline.load_driver", reader.load_driver)
    path = station_files(tmp_path)
    path.write_text(path.read_text().replace('driver = "mqtt"', 'driver = "other"'))
    return path


def reports(path: Path) -> dict[str, tuple[ErrorCode, ErrorCode, bool]]:
    """The codes of each link, and whether the line stands without it."""
    station = load_station(path)
    station.segmenter.open()
    workers = build(station, boot_id=1, conditions=Conditions(), first_recipe=station.recipe.id).report
    return {worker.stage._label: (worker.stage._lost_code, worker.stage._full_code, worker.vital) for worker in workers}


def test_a_broker_of_another_make_is_a_broker(station: Path) -> None:
    told = {what.partition(":")[0]: remedy for what, remedy in doctor_station.look_at_station(station, lambda _: None)}
    assert told["'broker' does not answer on 127.0.0.1 port 1"] == "systemctl start mosquitto"
    assert reports(station)["broker"] == (ErrorCode.BROKER_LOST, ErrorCode.OUTBOX_FULL, False)


def test_a_link_that_does_not_say_what_it_talks_to_is_a_plc(station: Path) -> None:
    station.write_text(station.read_text().replace('"other"', '"silent"'))
    assert reports(station)["broker"] == (ErrorCode.PLC_LOST, ErrorCode.PLC_RING_FULL, True)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("other", "s7", "plcs.0.driver ('plc'): the first link must be a PLC"),
        ("s7", "modbus", "plcs.1.driver ('broker'): a second PLC"),
    ],
)
def test_the_links_of_a_station_fit_together(station: Path, first: str, second: str, told: str) -> None:
    head, *links = station.read_text().split("[[plcs]]")
    for at, driver in enumerate((first, second)):
        links[at] = re.sub(r'driver = "\w+"', f'driver = "{driver}"', links[at])
    station.write_text("[[plcs]]".join([head, *links]))
    with pytest.raises(ConfigError) as error:
        load_station(station)
    assert told in str(error.value)
