"""`edge-inspector schema`: JSON Schema of MQTT messages, the station file and the recipe."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from edge_inspector.inspection.recipe import Recipe
from edge_inspector.mqtt.messages import (
    BirthMessage,
    CommandMessage,
    CommandResultMessage,
    LineMessage,
    StateMessage,
    TriggerMessage,
    VerdictMessage,
)
from edge_inspector.station.tables import StationFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: dict[str, type[BaseModel]] = {
    "verdict": VerdictMessage,
    "state": StateMessage,
    "birth": BirthMessage,
    "command_result": CommandResultMessage,
}
REQUESTS: dict[str, type[BaseModel]] = {
    "command": CommandMessage,
    "trigger": TriggerMessage,
    "line": LineMessage,
}
FILES: dict[str, type[BaseModel]] = {"station": StationFile, "recipe": Recipe}
NAMES = (*MESSAGES, *REQUESTS, *FILES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which schema."""
    names = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"
    parser.add_argument(
        "name", nargs="?", choices=NAMES, metavar="NAME", help=f"{names} (default: all, in one document)"
    )


def run(given: argparse.Namespace) -> int:
    """Print it."""
    print(json.dumps(schema(given.name) if given.name else every_schema(), indent=2, ensure_ascii=False))
    return 0


def schema(name: str) -> dict[str, Any]:
    """The schema with this name, one of NAMES. It has no references to other documents."""
    if name in MESSAGES:
        return {"$schema": DIALECT, **_open(MESSAGES[name].model_json_schema(mode="serialization"))}
    return {"$schema": DIALECT, **(REQUESTS | FILES)[name].model_json_schema()}


def every_schema() -> dict[str, Any]:
    """All schemas in one document, in `$defs` under the names of their models."""
    definitions = message_definitions("#/$defs/{model}") | _definitions(FILES, "validation", "#/$defs/{model}")
    return {"$schema": DIALECT, "$defs": definitions}


def message_definitions(ref_template: str) -> dict[str, Any]:
    """The schemas of all messages and of their parts, by model name."""
    definitions: dict[str, Any] = _open(_definitions(MESSAGES, "serialization", ref_template))
    return definitions | _definitions(REQUESTS, "validation", ref_template)


def _definitions(models: dict[str, type[BaseModel]], mode: JsonSchemaMode, ref_template: str) -> dict[str, Any]:
    _, found = models_json_schema([(model, mode) for model in models.values()], ref_template=ref_template)
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def _open(part: Any) -> Any:
    """The schema with additional fields allowed. Messages may get new fields, and readers must accept them."""
    if isinstance(part, list):
        return [_open(each) for each in part]
    if isinstance(part, dict):
        return {key: _open(each) for key, each in part.items() if (key, each) != ("additionalProperties", False)}
    return part
