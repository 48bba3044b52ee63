"""Every error that Edge Inspector raises, on one page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_inspector.texts import printable, without_passwords


class EdgeInspectorError(Exception):
    """The base class of every error that this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in a configuration: where it is (key path or file) and what to do about it.

    `whose` is the name of the camera or link that has the key, because people do not count tables from 0. `may_come` is
    set if the fault may disappear by itself, such as a disk that is mounted in a minute.
    """

    where: str
    what: str
    whose: str = ""
    may_come: bool = False

    def __str__(self) -> str:
        return without_passwords(f"{self.where}{f' ({self.whose!r})' if self.whose else ''}: {self.what}")


class ConfigError(EdgeInspectorError):
    """A station, recipe or model that must not run. It holds every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DeviceError(EdgeInspectorError):
    """A device or peer failed: close it, wait, open it again. The message names the device and the cause.

    The message may include the device's own text. That text is reduced to one line without passwords.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(without_passwords(message)))


class CautionError(EdgeInspectorError):
    """A probe found no fault, but something that a person should look into."""


class DeviceTimeoutError(DeviceError):
    """A peer did not answer in time. It may still carry out the request later."""


class StateError(DeviceError):
    """The station's own files on its own disk cannot be used. No peer is to blame."""


class FrameIncompleteError(EdgeInspectorError):
    """The camera delivered a picture that must not be used. The camera itself continues to work."""

    def __init__(self, message: str, frame_id: int, captured_ns: int) -> None:
        self.frame_id = frame_id
        self.captured_ns = captured_ns
        super().__init__(printable(without_passwords(message)))


class LayoutError(DeviceError):
    """The PLC's block does not have the layout of this version."""


class PositionUnknownError(EdgeInspectorError):
    """The belt's position at that instant is unknown and will stay unknown."""


class PositionPendingError(EdgeInspectorError):
    """The belt's position at that instant is not known yet. Ask again after the next encoder sample."""


class InferenceError(EdgeInspectorError):
    """The model's session failed on this batch."""
