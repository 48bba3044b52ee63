"""The camera's triggers. The values of the trigger registers depend on the selected trigger."""

from __future__ import annotations

from functools import partial
from typing import Final

from edge_inspector.simulation.gige import registers
from edge_inspector.simulation.gige.registers import Registers

_SELECTED: Final = ("TriggerMode", "TriggerSource", "TriggerDivider")


class Triggers:
    """The triggers of frames, and of the rows of a frame."""

    def __init__(self, memory: Registers) -> None:
        self._memory = memory
        self._set: dict[int, dict[str, int]] = {}
        self.forget()
        for name in _SELECTED:
            memory.live[name] = partial(self._read, name)
            memory.watched[name] = partial(self._write, name)
        memory.locked["TriggerSource"] = lambda _: bool(self._read("TriggerMode"))

    def forget(self) -> None:
        """Set all triggers to off, as after power-on."""
        self._set = {
            selector: {"TriggerMode": 0, "TriggerSource": registers.TRIGGER_SOFTWARE, "TriggerDivider": 1}
            for selector in (registers.FRAME_START, registers.LINE_START)
        }

    @property
    def frames_by(self) -> int | None:
        """The source that starts a frame. None if frames start by themselves."""
        return self._source(registers.FRAME_START)

    @property
    def every_frame(self) -> int:
        """One frame is taken per this many triggers."""
        return self._set[registers.FRAME_START]["TriggerDivider"]

    @property
    def row_counts(self) -> int | None:
        """Encoder counts from row to row. None if all rows are exposed at once."""
        if self._source(registers.LINE_START) != registers.TRIGGER_ENCODER:
            return None
        return self._set[registers.LINE_START]["TriggerDivider"]

    def _source(self, selector: int) -> int | None:
        found = self._set[selector]
        return found["TriggerSource"] if found["TriggerMode"] else None

    def _read(self, name: str) -> int:
        return self._set[int(self._memory.get("TriggerSelector"))][name]

    def _write(self, name: str, word: int) -> None:
        self._set[int(self._memory.get("TriggerSelector"))][name] = word
