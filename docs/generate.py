"""Writes reference.md, asyncapi.yaml and the tables in plc.md from the code. `make docs` runs it, a test compares."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from edge_inspector import metrics, station_file
from edge_inspector.cli import _parser
from edge_inspector.drivers import FAMILIES, DriverSettings, load_driver
from edge_inspector.inspection.reasons import EXPLAINED
from edge_inspector.inspection.recipe import AlarmLimits, ClassLimits, PictureLimits, Recipe, Region
from edge_inspector.records import Decision, ErrorCode, Reason
from edge_inspector.runtime.conditions import FAULTS, WARNINGS
from edge_inspector.s7.blocks import DB_EDGE, DB_PLC, Block
from edge_inspector.schema import message_definitions

DOCS = Path(__file__).parent

CODES = {
    ErrorCode.NONE: ("all is well", "nothing"),
    ErrorCode.CAMERA_LOST: ("a camera does not answer", "check its cable and power; it is reopened by itself"),
    ErrorCode.BAD_PICTURES: (
        "a camera's pictures are dark, saturated, blurred or frozen",
        "check light, lens and exposure (`edge-inspector focus`); the recipe's `picture` has the limits",
    ),
    ErrorCode.CAMERA_LEFT_OUT: (
        "a camera has crashed the program several times at its start, and is left out",
        "look at the camera and its firmware, then give RESET or restart the service",
    ),
    ErrorCode.ENCODER_LOST: ("no fresh belt position", "check PLC, cable and `encoder.settings`"),
    ErrorCode.COUNT_MISMATCH: (
        "a camera's encoder count is not the PLC's: its parts are not inspected",
        "reset both counters together; is the reset line wired to both?",
    ),
    ErrorCode.LINE_MISMATCH: (
        "what encoder and triggers show does not fit the station file: direction, scale, counter or error bound",
        "`edge-inspector check` measures them and says what to write; `line` and `encoder` in the station file",
    ),
    ErrorCode.INFERENCE_FAILED: ("the model failed", "look at the log; the session is rebuilt by itself"),
    ErrorCode.MASKS_SILENT: (
        "the model's masks have only few different values: it may not be able to say defective",
        "`edge-inspector model evaluate` on parts that are known to be bad",
    ),
    ErrorCode.PLC_RING_FULL: ("the PLC acknowledges no verdicts", "is the PLC's function block called every scan?"),
    ErrorCode.PLC_TRIGGERS_LOST: (
        "more parts came between two readings than the trigger ring holds",
        "lower the link's `interval_ms`, or see why the PLC was away; over when half a second passes without one",
    ),
    ErrorCode.PLC_LOST: ("the PLC does not answer or is in STOP", "check PLC, cable and the link's settings"),
    ErrorCode.VERDICT_LATE: (
        "a verdict came when its part may have been at the gate",
        "raise `line.reserve_ms`, or see what keeps the box busy; over when half a second passes without one",
    ),
    ErrorCode.OTHER_WRITER: (
        "somebody else writes the daemon's block in the PLC",
        "find the other station or program and stop it; check the parts that the message names; then give RESET",
    ),
    ErrorCode.PLC_NUMBERS: (
        "the PLC's part or slot numbers fell back or jumped within one run of the PLC",
        "a program that counts anew must publish a new `boot_id`; check the parts that the message names; give RESET",
    ),
    ErrorCode.BROKER_LOST: ("the broker does not answer", "check it; verdicts wait in the outbox"),
    ErrorCode.OUTBOX_FULL: ("the outbox has reached its limit", "bring the broker back; newest messages are refused"),
    ErrorCode.NO_SUBSCRIBER: (
        "nobody reads `reject` any more, or the broker refuses a topic",
        "bring back what fires the gate over MQTT; see the broker's rights for this station",
    ),
    ErrorCode.MESSAGE_TOO_LARGE: ("a verdict is too large for the broker", "raise the broker's packet size limit"),
    ErrorCode.RECIPE_MISMATCH: ("PLC and station disagree on the recipe", "load the recipe that the PLC expects"),
    ErrorCode.CRITERIA_CHANGED: (
        "recipe, limits, model or runtime are not those of the last run",
        "look at the log for what changed; give RESET when it is wanted",
    ),
    ErrorCode.PARTS_NOT_INSPECTED: (
        "more parts are not inspected than the recipe allows",
        "the message has the leading reason and what to do",
    ),
    ErrorCode.LINE_BLIND: (
        "so many parts are not inspected that the station must not be relied on",
        "the message has the leading reason and what to do",
    ),
    ErrorCode.MANY_REJECTS: (
        "too many parts are rejected: several in a row, or too large a share",
        "look at the rejected parts, then at tool and material; limits are in the recipe's `alarm`",
    ),
    ErrorCode.SWITCHED_OFF: (
        "inspection is switched off: no part is inspected",
        "switch it on again at the page, over MQTT, or with the PLC's enable bit, as the message says",
    ),
    ErrorCode.ARCHIVE_INCOMPLETE: (
        "results or pictures could not be kept",
        "free the disk or find out what slows it; verdicts are not affected",
    ),
    ErrorCode.SIDE_WORKER_FAILED: (
        "a thread that no verdict needs failed for good or hangs",
        "read the log; restart the service when it suits",
    ),
    ErrorCode.STATE_LOST: (
        "files of `state_dir` are damaged, cannot be used, or were removed or replaced while the daemon had them open",
        "the message names file and cause; the daemon makes a new file: find out who removed or damaged the old one",
    ),
    ErrorCode.CLOCK_STEPPED: (
        "the clock's date is not to be trusted: nothing is deleted by age",
        "set the clock (`timedatectl`); over when date and stored parts fit again, or after three days",
    ),
    ErrorCode.PAGE_LOST: (
        "the operator page cannot be served",
        "another program has the port, or `web.host` is no address of this machine; it is tried again",
    ),
    ErrorCode.DRIFT: (
        "pictures or defects are not what the reference says",
        "look at lamps, lenses and parts; docs/archive.md",
    ),
    ErrorCode.PICTURES_UNGUARDED: (
        "nothing guards against a picture without a part",
        "teach it: `edge-inspector guard`, or Teach on the page's Health view (docs/how-to/recipe.md)",
    ),
    ErrorCode.WORKER_FAILED: ("a thread failed for good or hangs", "read the log; the service manager restarts"),
}

# The values of each label. None comes from a picture, a message or a part, so the number of series stays small.
LABELS = {
    "camera": "names in `cameras`",
    "code": "names of the error codes",
    "command": "`select_recipe`, `enable`, `disable`, `reset`",
    "decision": "the decisions, in small letters",
    "defect_class": "classes of the model",
    "event": "`reject_expired`, `reject_unheard`, `verdict_shortened`, `message_too_large`, `outbox_set_aside`",
    "fault": "`dark`, `saturated`, `blurred`, `frozen`, `unlike`",
    "kept_because": "why the archive keeps pictures: the decisions, `review`, `sample`",
    "link": "names in `plcs`",
    "mailbox": "mailboxes of pipeline.py",
    "opinion": "`agrees`, `rejects`, `accepts`",
    "provider": "`tensorrt`, `cuda`, `openvino`, `cpu`",
    "quantity": "`brightness`, `sharpness`, `confidence`, `area`",
    "reason": "the reasons",
    "result": "`done`, `refused`",
    "state": "`starting`, `ready`, `degraded`, `off`, `fault`, `stopping`",
    "subject": "names in `cameras`, `plcs`, workers, `encoder`, `line`, users; what a condition is about",
    "what": "parts of the archive: `results`, `pictures`; `verdict`, `delivery`, `picture`; `parts`, `views`",
    "why": "`age`, `room`",
    "worker": "workers of pipeline.py, and `web`",
}

CHANNELS = {
    "reject": ("verdict", False, "What must fire the gate, never late. With MQTT 5 each expires when its time is up."),
    "verdict": ("verdict", False, "Every verdict, late ones too."),
    "state": ("state", True, "The station's state, on change and every 10 s; `offline` is also the last will."),
    "command/result": ("command_result", False, "What became of a command."),
    "command": ("command", False, "What the station is to do, where its link has `commands = true`."),
}


def reference() -> str:
    """The whole of docs/reference.md."""
    parts = [
        "# Reference\n\nGenerated from the code by `make docs`; edit the code, not this page.\n",
        "## Commands\n\n" + _commands(),
        "## Station file\n\nPaths are relative to the file. Millimetres are measured from the photo-eye.\n",
        *_station_tables(),
        "## Recipe\n",
        *(
            _settings(name, model)
            for name, model in (
                ("", Recipe),
                ("classes.NAME", ClassLimits),
                ("regions.CAMERA", Region),
                ("picture", PictureLimits),
                ("pictures.CAMERA", PictureLimits),
                ("alarm", AlarmLimits),
            )
        ),
        "## Decisions and reasons\n\n" + _decisions(),
        "## Error codes\n\nIn the PLC's `error_code`, in `state` over MQTT, and in the log.\n\n" + _codes(),
        "## Metrics\n\nOn `/metrics`; the rules and panels over them: [how-to/dashboard.md](how-to/dashboard.md).\n\n"
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


def asyncapi() -> str:
    """The whole of docs/asyncapi.yaml."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Edge Inspector over MQTT",
            "version": "1",
            "description": "What a station publishes and reads; docs/mqtt.md says what each field means.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_key(name): _channel(name, message, about) for name, (message, _, about) in CHANNELS.items()},
        "operations": {
            f"{'read' if name == 'command' else 'publish'}_{_key(name)}": {
                "action": "receive" if name == "command" else "send",
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
    return (
        "# Generated from the code by `make docs`; edit the code, not this file.\n" + "\n".join(_yaml(document)) + "\n"
    )


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


def _yaml(part: dict[str, Any], indent: str = "") -> Iterator[str]:
    """YAML in block style. Scalars and the content of lists are JSON, which YAML reads, too."""
    for key, value in part.items():
        label = f"{indent}{key if key.replace('_', '').isalnum() else json.dumps(key)}:"
        if isinstance(value, dict) and value:
            yield label
            yield from _yaml(value, indent + "  ")
        else:
            yield f"{label} {json.dumps(value, ensure_ascii=False)}"


def _commands() -> str:
    parser = _parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    rows = ["Exit codes: 0 done, 1 it did not work, 2 wrong configuration or command line.\n"]
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
    for name, field in station_file.StationFile.model_fields.items():
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
    own = takewhile(lambda each: each not in (DriverSettings, BaseModel), model.__mro__)
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
    rows = ["| decision | value |", "|---|---|", *(f"| `{each.name}` | {each.value} |" for each in Decision), ""]
    rows += ["| reason | value | meaning | what to do |", "|---|---|---|---|"]
    rows += [f"| `{each.label}` | {each.value} | {' | '.join(EXPLAINED[each])} |" for each in Reason]
    return "\n".join(rows) + "\n"


def _state(code: ErrorCode) -> str:
    if code is ErrorCode.SWITCHED_OFF:
        return "off"
    return "fault" if code in FAULTS else "warning: still ready" if code in WARNINGS else "degraded"


def _codes() -> str:
    rows = ["| code | name | state | what is wrong | what to do |", "|---|---|---|---|---|"]
    for code in ErrorCode:
        state = "" if code is ErrorCode.NONE else _state(code)
        wrong, remedy = CODES[code]
        rows.append(f"| {code.value} | `{code.name.lower()}` | {state} | {wrong} | {remedy} |")
    return "\n".join(rows) + "\n"


def _metrics() -> str:
    rows = ["Units are in the names (seconds, bytes, mm); what has none counts. A label can only be:\n"]
    rows += ["| label | is one of |", "|---|---|", *(f"| `{name}` | {about} |" for name, about in LABELS.items()), ""]
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
    sys.exit(0)
