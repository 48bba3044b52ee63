import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_inspector.cli import main
from edge_inspector.commands.schema import NAMES, every_schema, schema
from edge_inspector.mqtt.messages import offline_message
from edge_inspector.records import Identity

ROOT = Path(__file__).parents[2]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def resolved(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_each_schema_complete_in_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == schema(name)
    assert printed["$schema"].startswith("https://json-schema.org/")
    assert printed["type"] == "object"
    assert all(resolved(printed, reference) for reference in references(printed))


def test_without_a_name_it_prints_all_of_them_in_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == every_schema()
    assert set(printed["$defs"]) >= {"VerdictMessage", "StateMessage", "StationFile", "Recipe"}
    assert all(resolved(printed, reference) for reference in references(printed))
    for name in NAMES:
        title = schema(name)["title"]
        assert printed["$defs"][title]["properties"].keys() == schema(name)["properties"].keys()


def test_an_unknown_name_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["schema", "frames"])
    assert left.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_a_message_has_all_fields_always_and_its_readers_may_meet_new_ones() -> None:
    said = json.loads(
        offline_message(
            Identity(station="press-3", boot_id=1, state_dir=Path(), counts_per_mm=10.0, defect_classes=())
        ).model_dump_json()
    )
    state = schema("state")
    assert set(state["required"]) == set(state["properties"]) - {"promise", "rollout"} == set(said), (
        "promise: by weaker lines only. rollout: after the first one"
    )
    assert set(schema("verdict")["properties"]) - set(schema("verdict")["required"]) == {
        "part_id",
        "gate",
        "challenge",
        "stretch",
    }
    for name in ("state", "verdict", "command_result"):
        assert '"additionalProperties": false' not in json.dumps(schema(name))


def test_a_file_may_have_no_key_that_the_schema_does_not_know() -> None:
    station = schema("station")
    assert station["additionalProperties"] is False
    assert schema("recipe")["additionalProperties"] is False
    shipped = tomllib.loads((ROOT / "deploy" / "station.toml").read_text(encoding="utf-8"))
    assert set(station["required"]) <= set(shipped) <= set(station["properties"])


def test_the_asyncapi_document_is_yaml_and_refers_only_to_what_is_in_it() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert {name: channel["address"] for name, channel in document["channels"].items()} == {
        name.replace("/", "_"): f"{{prefix}}/{{station}}/{name}"
        for name in ("reject", "verdict", "state", "birth", "command/result", "command", "trigger", "line")
    }
    assert document["components"]["schemas"].keys() >= {"VerdictMessage", "StateMessage"}
    assert all(resolved(document, reference) for reference in references(document))
    told = document["components"]["schemas"]["VerdictMessage"]["properties"]
    assert told.keys() == schema("verdict")["properties"].keys()
