"""Every setting is explained where it is defined, and drivers of others need no such line."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel, Field, ValidationError

from edge_inspector.commands.schema import schema
from edge_inspector.drivers import FAMILIES, DriverSettings, load_driver
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import StationFile
from edge_inspector.wording import faults_of


def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and the models of its tables."""
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from below(inner)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None:
        for each in get_args(annotation):
            yield from models_in(each)


def settings() -> dict[str, type[BaseModel]]:
    """Every table that a user writes, by where its lines are read."""
    tables = {model.__name__: model for root in (StationFile, Recipe) for model in below(root)}
    for family, names in FAMILIES.items():
        for name in names:
            tables[f"{family} {name}"] = load_driver(family, name).Settings
    return tables


SETTINGS = settings()


def without_a_line(table: type[BaseModel]) -> list[str]:
    return [key for key, field in table.model_fields.items() if not field.description]


@pytest.mark.parametrize("table", SETTINGS)
def test_every_setting_has_a_line(table: str) -> None:
    assert without_a_line(SETTINGS[table]) == [], "write a docstring below the field"


@pytest.mark.parametrize("table", SETTINGS)
def test_every_line_is_one_of_plain_sentences(table: str) -> None:
    lines = [field.description or "" for field in SETTINGS[table].model_fields.values()]
    assert [line for line in lines if not line.endswith(".") or "\n" in line or ";" in line] == []


def test_the_lines_are_in_the_json_schema() -> None:
    station = schema("station")
    assert station["$defs"]["LineTable"]["properties"]["gate_mm"]["description"].startswith("Position of")
    assert '"patternErrorMessage": "at most 32 of the letters' in json.dumps(station)


class Bare(DriverSettings):
    host: Annotated[str, Field(pattern=r"^\S+$")]
    port: int = 1
    word: str = "one"
    """A line that explains the word."""


def made_without_a_file() -> type[DriverSettings]:
    """As a plug-in that is compiled, or made at run time: its source cannot be read."""
    found: dict[str, Any] = {"DriverSettings": DriverSettings}
    exec("class Settings(DriverSettings):\n    host: str\n    port: int = 1\n", found)  # noqa: S102
    made: type[DriverSettings] = found["Settings"]
    return made


@pytest.mark.parametrize("table", [Bare, made_without_a_file(), type("Settings", (DriverSettings,), {})])
def test_a_driver_of_somebody_else_needs_no_lines(table: type[DriverSettings]) -> None:
    with pytest.raises(ValidationError) as raised:
        table.model_validate({"urgent": True})
    assert "unknown key" in "".join(str(fault) for fault in faults_of(raised.value, "", table))
    assert table.model_json_schema()["additionalProperties"] is False
    assert without_a_line(table) == [key for key in table.model_fields if key != "word"]


def test_a_line_never_becomes_part_of_a_message() -> None:
    with pytest.raises(ValidationError) as raised:
        Bare.model_validate({"host": "a b", "word": 5})
    told = [fault.what for fault in faults_of(raised.value, "", Bare)]
    assert told == [
        "String should match pattern '^\\S+$' (is 'a b')",
        'must be text in quotes (is 5). Write "5"',
    ]
