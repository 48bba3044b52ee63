"""The belt's position, as the Acme controller counts it."""

import time

from pydantic import BaseModel

from acme_drivers.controller import Controller, ControllerSettings
from edge_inspector.drivers import Encoder
from edge_inspector.records import EncoderSample


class Count(BaseModel):
    """The controller's answer to `count`."""

    count: int
    boot_id: int


class AcmeEncoder(Encoder):
    """Asks the controller for its counter."""

    Settings = ControllerSettings

    def __init__(self, settings: ControllerSettings) -> None:
        self._controller = Controller(settings)

    def open(self) -> None:
        """Connect."""
        self._controller.open()

    def read(self) -> EncoderSample:
        """The count, and between which two instants of this computer's clock the controller read it."""
        asked_ns = time.monotonic_ns()
        answer = self._controller.ask(Count, "count")
        answered_ns = time.monotonic_ns()
        return EncoderSample(answer.count, None, asked_ns, answered_ns, boot_id=answer.boot_id)

    def close(self) -> None:
        """Disconnect."""
        self._controller.close()
