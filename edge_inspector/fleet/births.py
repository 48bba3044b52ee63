"""Listens to the broker: which stations announce themselves, and what state they are in."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from pydantic import ValidationError

from edge_inspector.errors import DeviceError
from edge_inspector.fleet.answers import ToldBirth, ToldState, shown
from edge_inspector.fleet.roster import Heard, Roster, heard_of
from edge_inspector.fleet.tables import BrokerTable
from edge_inspector.mqtt.commands import Request
from edge_inspector.mqtt.session import MqttSession
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.clock import utc_of

log = logging.getLogger(__name__)

_STEP_S = 0.2
_LONGEST = 4096  # bytes. A birth has about 300
_TOLD_NS = 60_000_000_000  # between two lines in the log about messages that are none


class Births:
    """The thread `births`. It subscribes, and publishes nothing."""

    name = "births"
    beat_within_s = 15.0

    def __init__(self, roster: Roster, settings: BrokerTable) -> None:
        self._roster = roster
        self._settings = settings
        self._link = settings.link
        self._topics = [*settings.births, *(_state_of(each) for each in settings.births)]
        self._session: MqttSession | None = None
        self._backoff = Backoff(first_s=0.5, longest_s=8.0)
        self._told_ns = -_TOLD_NS

    def start(self) -> None:
        """Nothing yet: the first step begins to connect."""

    def step(self) -> None:
        """Read what has come, and connect again if that is needed."""
        session = self._session
        if session is None:
            if self._backoff.due(_STEP_S):
                self._session = self._connect()
            return
        time.sleep(_STEP_S)
        for request in session.announced():
            self.hear(request)
        self._follow(session)

    def stop(self, *, failed: bool) -> None:  # noqa: ARG002 -- the same either way
        """Leave the broker."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connect(self) -> MqttSession | None:
        try:
            return MqttSession(self._link, self._settings.client_id, None, line_topics=self._topics)
        except DeviceError as error:  # a password or certificate file cannot be used
            self._lose(str(error))
            return None

    def _follow(self, session: MqttSession) -> None:
        if session.over:
            self._session = None
            session.close()
            self._lose(f"{session.address} {session.trouble or 'lost: the client has ended'}")
        elif session.forbidden:
            topics = ", ".join(sorted(session.forbidden))
            self._roster.broker_trouble = f"{session.address} does not let this page read {topics}"
        elif session.connected:
            self._backoff.succeeded()
            self._roster.broker_trouble = ""

    def _lose(self, why: str) -> None:
        if why != self._roster.broker_trouble:
            log.warning("MQTT broker %s", why)
        self._roster.broker_trouble = why
        self._backoff.failed()

    def hear(self, request: Request) -> None:
        """Take one message. One that is none is left out."""
        kind, topic = _kind_of(request.topic, self._settings.births)
        if len(request.payload) > _LONGEST:
            self._tell(request, f"more than {_LONGEST} bytes")
            return
        try:
            if kind == "birth" and not request.payload:
                self._roster.gone(topic)
            elif kind == "birth":
                self._roster.born(topic, ToldBirth.model_validate_json(request.payload))
            elif kind == "state" and request.payload:
                self._roster.hears(topic, _heard(request))
        except ValidationError as error:
            self._tell(request, error.errors(include_url=False, include_input=False)[0]["msg"])

    def _tell(self, request: Request, why: str) -> None:
        now = time.monotonic_ns()
        if now - self._told_ns >= _TOLD_NS:
            self._told_ns = now
            log.warning("a message on %s is left out: %s", shown(request.topic, 120), why)


def _heard(request: Request) -> Heard:
    told, received = ToldState.model_validate_json(request.payload), request.received_ns
    return heard_of(told, retained=request.retained, received_ns=received, now_utc=utc_of(received))


def _state_of(birth: str) -> str:
    return "/".join("state" if level == "birth" else level for level in birth.split("/"))


def _kind_of(topic: str, births: Sequence[str]) -> tuple[str, str]:
    """Whether the message is a `birth` or a `state`, and the topic of the state of its station."""
    levels = topic.split("/")
    for birth in births:
        wanted = birth.split("/")
        at = wanted.index("birth")
        if len(wanted) == len(levels) and all(
            want in ("+", level) for place, (want, level) in enumerate(zip(wanted, levels, strict=True)) if place != at
        ):
            return levels[at], "/".join([*levels[:at], "state", *levels[at + 1 :]])
    return "", topic
