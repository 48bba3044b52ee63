"""Every error that Edge Inspector raises, on one page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_inspector.texts import printable, without_passwords


class EdgeInspectorError(Exception):
    """The root: whatever this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration: where (key path or file) and what to do about it.

    `whose` is the name of the camera or link whose key it is: nobody counts tables from 0. What `may_come` is not wrong
    on paper: it may be there in a minute.
    """

    where: str
    what: str
    whose: str = ""
    may_come: bool = False

    def __str__(self) -> str:
        return without_passwords(f"{self.where}{f' ({self.whose!r})' if self.whose else ''}: {self.what}")


class ConfigError(EdgeInspectorError):
    """A station, recipe or model that must not run. Holds every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DeviceError(EdgeInspectorError):
    """A device or peer failed: close it, wait, open it again. The message names the device and the cause.

    What the device itself said may be part of it: it is made one line, and shows no password.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(without_passwords(message)))


class CautionError(EdgeInspectorError):
    """A probe found nothing broken, and something that a person should look into."""


class DeviceTimeoutError(DeviceError):
    """A peer did not answer in time. What was asked of it may still be carried out later."""


class StateError(DeviceError):
    """What the station keeps for itself on its own disk cannot be used. No peer is to blame."""


class FrameIncompleteError(EdgeInspectorError):
    """The camera delivered a picture that must not be used. The camera itself goes on."""

    def __init__(self, message: str, frame_id: int, captured_ns: int) -> None:
        self.frame_id = frame_id
        self.captured_ns = captured_ns
        super().__init__(printable(without_passwords(message)))


class LayoutError(DeviceError):
    """The PLC's block does not have the layout that this version speaks."""


class PositionUnknownError(EdgeInspectorError):
    """The belt's position at that instant is not known and will not become known."""


class PositionPendingError(EdgeInspectorError):
    """The belt's position at that instant is not known yet: ask again after the next encoder sample."""


class InferenceError(EdgeInspectorError):
    """The model's session failed on this batch."""
