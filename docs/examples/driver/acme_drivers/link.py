"""Verdicts to the Acme controller, which announces the parts and drives the gate."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic_ns
from typing import Any

from pydantic import BaseModel

from acme_drivers.controller import Answer, Controller, ControllerSettings
from edge_inspector.codes import ErrorCode
from edge_inspector.drivers import PlcLink
from edge_inspector.errors import DeviceError
from edge_inspector.records import Command, Identity, PlcInput, StationStatus, Trigger, Verdict


class Reading(BaseModel):
    """The controller's answer to `look` and `exchange`. `parts` are the latest 16, as number, count, answered."""

    boot_id: int
    heartbeat: int
    enabled: bool
    running: bool
    run: int
    verdict: int
    last_part: int
    parts: list[tuple[int, int, bool]]


class Taken(BaseModel):
    """The controller's answer to `deliver`."""

    taken: int


class AcmeLink(PlcLink):
    """One connection, owned by one thread. The controller acknowledges each verdict by its number."""

    Settings = ControllerSettings

    def __init__(self, settings: ControllerSettings, identity: Identity) -> None:
        self.connected = False
        self.events: Counter[str] = Counter()
        self.troubles: dict[ErrorCode, str] = {}
        self._controller = Controller(settings)
        self._boot_id = identity.boot_id
        self._sent = 0
        self._acknowledged = 0

    @property
    def backlog(self) -> int:
        """Verdicts that the controller holds but has not acknowledged."""
        return max(0, self._sent - self._acknowledged)

    def open(self) -> None:
        """Connect. Nothing is sent yet."""
        self._controller.open()

    def probe(self) -> str:
        """Read once, without sending a status."""
        reading = self.look()
        return f"{self._controller.address}: Acme controller, part {reading.trigger_seq}"

    def look(self) -> PlcInput:
        """Connect, read once and disconnect."""
        self._controller.open()
        try:
            return self._read("look")
        finally:
            self._controller.close()

    def exchange(self, status: StationStatus) -> PlcInput:
        """Send the status, which is also the heartbeat, and read."""
        heard = self._read("exchange", state=status.state, error_code=int(status.error_code))
        if heard.ack_session == self._boot_id:
            self._acknowledged = heard.ack_seq
        return heard

    def commands(self) -> Sequence[Command]:
        """The controller sends none."""
        return ()

    def incidents(self) -> Sequence[tuple[ErrorCode, str]]:
        """Nothing here needs a person after it is over."""
        return ()

    def deliver(self, verdicts: Sequence[Verdict]) -> int:
        """Send the verdicts in order. The controller says how many it took."""
        rows = [
            {"run": verdict.boot_id, "verdict": verdict.seq, "part": verdict.part.part_seq, "reject": verdict.rejects}
            for verdict in verdicts
        ]
        taken = min(self._ask(Taken, "deliver", verdicts=rows).taken, len(verdicts))
        if taken:
            self._sent = verdicts[taken - 1].seq
        return taken

    def close(self) -> None:
        """Say that the station is not ready, if the controller still answers."""
        with suppress(DeviceError):
            self._controller.ask(Reading, "exchange", state="stopping", error_code=0)
        self._controller.close()
        self.connected = False

    def _read(self, request: str, **values: Any) -> PlcInput:
        asked_ns = monotonic_ns()
        reading = self._ask(Reading, request, **values)
        return PlcInput(
            boot_id=reading.boot_id,
            heartbeat=reading.heartbeat,
            enable=reading.enabled,
            reset=False,
            line_running=reading.running,
            recipe_id=0,  # the controller chooses no recipe
            ack_session=reading.run,
            ack_seq=reading.verdict,
            trigger_seq=reading.last_part,
            triggers=tuple(Trigger(*part) for part in reading.parts),
            asked_ns=asked_ns,
        )

    def _ask(self, kind: type[Answer], request: str, **values: Any) -> Answer:
        self.connected = False
        answer = self._controller.ask(kind, request, **values)
        self.connected = True
        return answer
