"""Commands over MQTT: messages on `command`, checked before anything acts on them, and the answers to them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from edge_inspector.mqtt.messages import CommandMessage
from edge_inspector.records import Command, CommandResult
from edge_inspector.runtime.clock import iso, moment
from edge_inspector.texts import printable

_log = logging.getLogger(__name__)

LONGEST = 4096  # bytes. The longest valid command has about 150
_TOLD = 10  # refusals in the log ...
_TOLD_NS = 60_000_000_000  # ... in this time. The others are counted, so that a flood fills no disk
_ANSWERS = 256  # kept while the broker is away. Nobody waits for older ones any more


@dataclass(frozen=True, slots=True)
class Request:
    """A message as received, with the MQTT 5 properties that say where an answer goes."""

    payload: bytes
    retained: bool = False
    response_topic: str = ""
    correlation: bytes | None = None
    _: KW_ONLY
    topic: str = ""
    received_ns: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request, and the topic for it. `id` is None if it could not be read."""

    topic: str
    correlation: bytes | None
    id: str | None
    result: CommandResult


class CommandInbox:
    """Requests in, checked commands out, answers back. `result_topic` is the default topic for answers.

    A requester may choose a topic below `result_topic` and no other. Otherwise an answer could become a message on
    `reject`.
    """

    def __init__(self, result_topic: str) -> None:
        self._result_topic = result_topic
        self._answers: deque[Answer] = deque(maxlen=_ANSWERS)
        self._told_ns: deque[int] = deque(maxlen=_TOLD)
        self._untold = 0

    def check(self, requests: Iterable[Request], recipe_id: int) -> list[Command]:
        """The commands among `requests`. The others are answered with the error. Answers name the recipe in force."""
        commands = []
        for request in requests:
            read_id, message, fault = _read(request)
            if message is None:
                self._tell(fault)
                self._answer(request, read_id, CommandResult(fault, recipe_id))
                continue
            commands.append(self._command(request, message))
        return commands

    def answers(self, most: int = _ANSWERS) -> list[Answer]:
        """Answers to publish since the last call: the oldest `most` of them. The others follow at the next call."""
        return [self._answers.popleft() for _ in range(min(most, len(self._answers)))]

    def _tell(self, fault: str) -> None:
        now = time.monotonic_ns()
        if len(self._told_ns) == _TOLD and now - self._told_ns[0] < _TOLD_NS:
            self._untold += 1
            return
        untold = f" ({self._untold} earlier ones were not logged)" if self._untold else ""
        _log.warning("MQTT command refused: %s%s", fault, untold)
        self._untold = 0
        self._told_ns.append(now)

    def _command(self, request: Request, message: CommandMessage) -> Command:
        def reply(result: CommandResult) -> None:
            self._answer(request, message.id, result)

        return Command(
            source="mqtt",
            id=message.id,
            name=message.command,
            reply=reply,
            recipe_id=message.recipe_id or 0,
            why=printable(message.why),
        )

    def _answer(self, request: Request, read_id: str | None, result: CommandResult) -> None:
        chosen = request.response_topic
        allowed = chosen.startswith(f"{self._result_topic}/") and not {"+", "#", "\0"} & set(chosen)
        self._answers.append(Answer(chosen if allowed else self._result_topic, request.correlation, read_id, result))


def _read(request: Request) -> tuple[str | None, CommandMessage | None, str]:
    """The id if it can be read, and the message, or the error in it."""
    if request.retained:
        return None, None, "a retained command would be repeated at every connection: publish it without retain"
    if len(request.payload) > LONGEST:
        return None, None, f"longer than {LONGEST} bytes"
    try:
        body = from_json(request.payload, allow_inf_nan=False)
    except ValueError as error:
        return None, None, f"not JSON: {error}"[:200]
    try:
        message = CommandMessage.model_validate(body, strict=True)
    except ValidationError as error:
        return _id_of(body), None, "; ".join(faults_in(error))[:200]
    now = moment().utc
    if message.not_after is not None and message.not_after < now:
        return message.id, None, f"too late: not_after was {iso(message.not_after)}, now it is {iso(now)}"
    return message.id, message, ""


def _id_of(body: Any) -> str | None:
    found = body.get("id") if isinstance(body, dict) else None
    return found[:64] if isinstance(found, str) else None


def faults_in(error: ValidationError) -> list[str]:
    """What is wrong in a message, a line for each field."""
    return [
        ": ".join(filter(None, [".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")]))
        for each in error.errors(include_input=False, include_url=False)
    ]
