"""Writes reference.md, asyncapi.yaml, tables in plc.md and texts in en.json from the code. A test compares them."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from edge_inspector import metrics
from edge_inspector.cli import build_parser
from edge_inspector.codes import Decision, ErrorCode, Reason
from edge_inspector.commands.schema import REQUESTS, message_definitions
from edge_inspector.drivers import FAMILIES, DriverSettings, load_driver
from edge_inspector.fleet.tables import BrokerTable, FleetFile, FleetWebTable, ListedTable, PollTable, PrometheusTable
from edge_inspector.inspection.areas import Area
from edge_inspector.inspection.recipe import AlarmLimits, ClassLimits, PictureLimits, Recipe
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, Block
from edge_inspector.rollout.tables import AskTable, LoginTable, PlanFile, PlanStation
from edge_inspector.runtime.conditions import FAULTS, WARNINGS
from edge_inspector.settings import Table
from edge_inspector.station import tables
from edge_inspector.store.ledger import Bounds

DOCS = Path(__file__).parent
ENGLISH = DOCS.parent / "edge_inspector" / "web" / "languages" / "en.json"

# The values of each label. None comes from a picture, a message or a part, so the number of series stays small.
LABELS = {
    "camera": "names in `cameras`",
    "code": "names of the error codes",
    "command": "`select_recipe`, `enable`, `disable`, `reset`, `inspect`, `challenge`",
    "decision": "the decisions, in small letters",
    "defect_class": "classes of the model",
    "event": "`reject_expired`, `reject_unheard`, `verdict_shortened`, `message_too_large`, `outbox_set_aside`",
    "fault": "`dark`, `saturated`, `blurred`, `frozen`, `unlike`",
    "kept_because": "the decisions, `review`, `sample`",
    "link": "names in `plcs`",
    "mailbox": "mailboxes of pipeline.py",
    "opinion": "`agrees`, `rejects`, `accepts`",
    "package": "the model or recipe that a roll-out has brought. One at a time",
    "provider": "`tensorrt`, `cuda`, `openvino`, `cpu`",
    "quantity": "`brightness`, `sharpness`, `confidence`, `area`",
    "reason": "the reasons",
    "result": "`done`, `refused`",
    "state": "`starting`, `ready`, `degraded`, `off`, `fault`, `stopping`",
    "step": "`waits`, `shadow`, `judges`, `kept`, `back`",
    "subject": "the subject of a condition: a name in `cameras` or `plcs`, a worker, a user, `encoder` or `line`",
    "wanted": "the step for which it waits for a stop, or nothing",
    "what": "`results`, `pictures`, `verdict`, `delivery`, `picture`, `parts`, `views`, `unforwarded`",
    "why": "`age`, `room`",
    "worker": "workers of pipeline.py, and `web`",
}

CHANNELS = {
    "reject": (
        "verdict",
        False,
        "Rejects that fire the gate. None is sent late. With MQTT 5 each message expires in time.",
    ),
    "verdict": ("verdict", False, "Every verdict, even a late one."),
    "state": ("state", True, "The station's state, on each change and every 10 s. The last will is `offline`."),
    "birth": ("birth", True, "Who the station is and where its page is. The station's link must have `birth = true`."),
    "command/result": ("command_result", False, "The result of a command."),
    "command": ("command", False, "A command to the station. Its link must have `commands = true`."),
    "trigger": ("trigger", False, "A part passed the photo-eye. The station's link must have `triggers = true`."),
    "line": ("line", False, "Whether the belt runs. The station's link must have `line = true`."),
}


def reference() -> str:
    """The whole of docs/reference.md."""
    parts = [
        "# Reference\n\nGenerated from the code by `make docs`. Edit the code, not this page.\n",
        "## Commands\n\n" + _commands(),
        "## Station file\n\nPaths are relative to the file. Millimetres are measured from the photo-eye.\n",
        *_station_tables(),
        "## Recipe\n",
        *(
            _settings(name, model)
            for name, model in (
                ("", Recipe),
                ("classes.NAME", ClassLimits),
                ("regions.CAMERA", Area),
                ("picture", PictureLimits),
                ("pictures.CAMERA", PictureLimits),
                ("alarm", AlarmLimits),
            )
        ),
        "## Fleet file\n\nFor `edge-inspector fleet`: see [how-to/fleet.md](how-to/fleet.md).\n",
        *(
            _settings(name, model)
            for name, model in (
                ("", FleetFile),
                ("fleet web", FleetWebTable),
                ("poll", PollTable),
                ("broker", BrokerTable),
                ("prometheus", PrometheusTable),
                ("stations", ListedTable),
            )
        ),
        "## Roll-out plan\n\nFor `edge-inspector rollout`: see [how-to/rollout.md](how-to/rollout.md).\n",
        *(
            _settings(name, model)
            for name, model in (
                ("", PlanFile),
                ("login", LoginTable),
                ("ask", AskTable),
                ("watch", Bounds),
                ("plan stations", PlanStation),
            )
        ),
        "## Decisions and reasons\n\n" + _decisions(),
        "## Error codes\n\nIn the PLC's `error_code`, in `state` over MQTT, and in the log.\n\n" + _codes(),
        "## Metrics\n\nOn `/metrics`. For alerts and dashboards see [how-to/dashboard.md](how-to/dashboard.md).\n\n"
        + _metrics(),
    ]
    return "\n".join(parts)


def block_tables(page: str) -> str:
    """`page` with new tables between its markers."""
    for block in (DB_PLC, DB_EDGE):
        begin, end = f"<!-- {block.name} -->", f"<!-- /{block.name} -->"
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = f"{before}{begin}\n{_block(block)}\n{end}{after}"
    return page


def english(page: str) -> str:
    """The English texts of the operator page, with new sentences about the error codes."""
    codes = {
        f"code.{code.name.lower()}": f"{code.meaning} {code.remedy}".replace("`", "") for code in ErrorCode if code
    }
    return json.dumps(json.loads(page) | codes, ensure_ascii=False, indent=2) + "\n"


def asyncapi() -> str:
    """The whole of docs/asyncapi.yaml."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Edge Inspector over MQTT",
            "version": "1",
            "description": "The messages that a station publishes and reads. docs/mqtt.md explains each field.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_key(name): _channel(name, message, about) for name, (message, _, about) in CHANNELS.items()},
        "operations": {
            f"{'read' if name in REQUESTS else 'publish'}_{_key(name)}": {
                "action": "receive" if name in REQUESTS else "send",
                "channel": {"$ref": f"#/channels/{_key(name)}"},
                "bindings": {"mqtt": {"qos": 1, "retain": retained}},
            }
            for name, (_, retained, _) in CHANNELS.items()
        },
        "components": {
            "messages": {
                name: {"payload": {"$ref": f"#/components/schemas/{name.title().replace('_', '')}Message"}}
                for name in dict.fromkeys(message for message, _, _ in CHANNELS.values())
            },
            "schemas": message_definitions("#/components/schemas/{model}"),
        },
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return "# Generated from the code by `make docs`. Edit the code, not this file.\n" + text


def _key(topic: str) -> str:
    return topic.replace("/", "_")


def _channel(name: str, message: str, about: str) -> dict[str, Any]:
    return {
        "address": f"{{prefix}}/{{station}}/{name}",
        "description": about,
        "parameters": {
            "prefix": {"description": "The link's topic_prefix.", "default": "edge"},
            "station": {"description": "The station's name."},
        },
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _commands() -> str:
    parser = build_parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    rows = ["Exit codes: 0 done, 1 failed, 2 wrong configuration or command line.\n"]
    for name, sub, about in _leaves(commands, "edge-inspector"):
        rows.append(f"### `{name}`\n\n{about}\n")
        rows += [
            f"- `{'/'.join(action.option_strings) or _argument(action)}`: {(action.help or '').replace('%%', '%')}"
            for action in sub._actions
            if action.dest != "help"
        ]
        rows.append("")
    return "\n".join(rows)


def _leaves(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], prefix: str
) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Every command. A command that has commands of its own is replaced by those."""
    for choice in commands._choices_actions:
        sub = commands.choices[choice.dest]
        below = [action for action in sub._actions if isinstance(action, argparse._SubParsersAction)]
        if below:
            yield from _leaves(below[0], f"{prefix} {choice.dest}")
        else:
            yield f"{prefix} {choice.dest}", sub, choice.help or ""


def _argument(action: argparse.Action) -> str:
    return str(action.metavar or action.dest)


def _station_tables() -> Iterator[str]:
    for name, field in tables.StationFile.model_fields.items():
        kinds = (
            field.annotation,
            *get_args(field.annotation),
        )  # the table itself, a list of it, or an optional one
        (model,) = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
        yield _settings(name, model)
    for family, drivers in FAMILIES.items():
        for driver in drivers:
            yield _settings(f"{family} settings, driver {driver}", load_driver(family, driver).Settings)


def _settings(name: str, model: type[BaseModel]) -> str:
    rows = [f"### `{name}`\n" if name and " " not in name else f"### {name}\n" if name else ""]
    own = takewhile(lambda each: each not in (DriverSettings, Table, BaseModel), model.__mro__)
    rows += [f"{inspect.getdoc(each)}\n" for each in own if each.__doc__]
    rows += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        default = "required" if field.is_required() else _plain(field.get_default(call_default_factory=True))
        rows.append(f"| `{key}` | {_type(model, key)} | {default} | {_meaning(field.description)} |")
    return "\n".join(rows) + "\n"


def _type(model: type[BaseModel], key: str) -> str:
    schema = model.model_json_schema()["properties"][key]
    return _schema_text(schema).replace("|", "or")


def _schema_text(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " | ".join(_schema_text(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"object": "table", "array": "list"}.get(schema.get("type", "table"), schema.get("type", "table"))
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:.10g}" for key, word in words.items() if key in schema]
    return ", ".join([kind, *limits])


def _plain(value: object) -> str:
    """A default value in TOML."""
    if value is None:
        return "not set"
    if isinstance(value, BaseModel):
        return "see its table"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`" if value != "" else '`""`'


def _meaning(line: str | None) -> str:
    return " ".join((line or "").split()).replace("|", "\\|")


def _decisions() -> str:
    rows = ["| decision | value | meaning |", "|---|---|---|"]
    rows += [*(f"| `{each.name}` | {each.value} | {each.meaning} |" for each in Decision), ""]
    rows += ["| reason | value | meaning | what to do |", "|---|---|---|---|"]
    rows += [f"| `{each.label}` | {each.value} | {each.meaning} | {each.remedy} |" for each in Reason]
    return "\n".join(rows) + "\n"


def _state(code: ErrorCode) -> str:
    if code is ErrorCode.SWITCHED_OFF:
        return "off"
    return "fault" if code in FAULTS else "warning: still ready" if code in WARNINGS else "degraded"


def _codes() -> str:
    rows = ["| code | name | state | what is wrong | what to do |", "|---|---|---|---|---|"]
    for code in ErrorCode:
        state = "" if code is ErrorCode.NONE else _state(code)
        wrong = code.meaning.format(name="NAME")
        rows.append(f"| {code.value} | `{code.name.lower()}` | {state} | {wrong} | {code.remedy} |")
    return "\n".join(rows) + "\n"


def _metrics() -> str:
    rows = ["The unit is in the name (seconds, bytes, mm). A metric without a unit is a number. Labels:\n"]
    rows += ["| label | values |", "|---|---|", *(f"| `{name}` | {about} |" for name, about in LABELS.items()), ""]
    rows += ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for found in vars(metrics).values():
        if isinstance(found, MetricWrapperBase):
            suffix = {"counter": "_total", "info": "_info"}.get(found._type, "")
            labels = ", ".join(f"`{label}`" for label in found._labelnames)
            rows.append(f"| `{found._name}{suffix}` | {found._type} | {labels} | {found._documentation} |")
    return "\n".join(rows) + "\n"


def _block(block: Block) -> str:
    rows = [f"`{block.name}`, written by the {block.writer}, {block.size} bytes:\n"]
    for at, count, record in block.parts:
        place = f"from byte {at}" if count == 1 else f"{count} slots of {record.size} bytes from byte {at}"
        rows += [f"**{record.name}**, {place}:\n", "| offset | name | type | meaning |", "|---|---|---|---|"]
        rows += [
            f"| {offset} | `{field.name}` | {field.s7_type} | {field.meaning} |" for offset, field in record.offsets()
        ]
        rows += [f"| {record.size - 2} | `crc` | WORD | CRC-16/CCITT-FALSE over bytes 0..{record.size - 3} |", ""]
    return "\n".join(rows)


if __name__ == "__main__":
    (DOCS / "reference.md").write_text(reference())
    (DOCS / "asyncapi.yaml").write_text(asyncapi())
    plc = DOCS / "plc.md"
    plc.write_text(block_tables(plc.read_text()))
    ENGLISH.write_text(english(ENGLISH.read_text()))
    sys.exit(0)
