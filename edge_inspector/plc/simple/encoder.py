"""The position of the belt at any place in a PLC's memory, and the bit that begins a new roll of a web."""

from __future__ import annotations

from edge_inspector.errors import DeviceError
from edge_inspector.plc.blocks import wrap32
from edge_inspector.plc.simple.cells import CellReader, Number, PlcMemory
from edge_inspector.plc.simple.settings import SimpleEncoderSettings
from edge_inspector.records import EncoderSample

_RUN = 1  # the PLC does not say when it started. A count that cannot follow begins a new epoch


class SimpleEncoder:
    """Reads one number. It may be one scan of the PLC old, which is in the bound of each position.

    `rolls` counts how often the bit `new_roll` has risen since it was first read.
    """

    def __init__(self, memory: PlcMemory, settings: SimpleEncoderSettings) -> None:
        self.rolls = 0
        self._bit: bool | None = None
        self._memory = memory
        cells = {"count": settings.cell(settings.count)}
        if settings.new_roll is not None:
            cells["new_roll"] = settings.cell(settings.new_roll)
        self._reader = CellReader(cells, "count")
        self._counts_per_unit = settings.counts_per_unit
        self._scan_ns = int(settings.scan_ms * 1e6)

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._memory.open()

    def read(self) -> EncoderSample:
        """Take one sample. Raises DeviceError."""
        reading = self._reader.read(self._memory)
        self._see_bit(reading.number("new_roll"))
        value = reading.number("count")
        if value is None:
            self._memory.close()
            raise DeviceError(f"{self._memory.address}: the encoder's value is no number: is its type right?")
        return EncoderSample(
            count=wrap32(round(value * self._counts_per_unit)),
            device_ns=None,
            asked_ns=reading.asked_ns - self._scan_ns,
            answered_ns=reading.answered_ns,
            boot_id=_RUN,
        )

    def _see_bit(self, value: Number | None) -> None:
        bit = None if value is None else bool(value)
        self.rolls += bool(bit) and self._bit is False
        self._bit = bit

    def close(self) -> None:
        """Disconnect. Safe at any time, also twice."""
        self._memory.close()
