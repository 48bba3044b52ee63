"""The encoder count that the PLC publishes with its own clock in DB_Plc, whatever carries the bytes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from edge_inspector.errors import DeviceError
from edge_inspector.records import EncoderSample
from edge_inspector.s7.blocks import DB_PLC, ENCODER

_TORN_READS = 3  # a read may meet the PLC while it writes; this many in a row is another layout


class Wire(Protocol):
    """A connection to the PLC's memory that knows when its last request left and was answered."""

    address: str

    @property
    @abstractmethod
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request left this process and when its answer began to arrive, monotonic."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Raises DeviceError."""

    @abstractmethod
    def read(self, block: int, start: int, size: int) -> bytes:
        """One record, in one request. Raises DeviceError, and is closed by it."""

    @abstractmethod
    def close(self) -> None:
        """Let go."""


class BlockEncoder:
    """Reads {boot_id, count, time_us} of one scan in one request, over a connection of its own."""

    def __init__(self, wire: Wire, block: int, label: str) -> None:
        self._wire = wire
        self._block = block
        self._label = label
        self._time_us: int | None = None
        self._elapsed_us = 0

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._wire.open()

    def read(self) -> EncoderSample:
        """One sample. Raises DeviceError, also for a record whose CRC does not hold."""
        record = next(filter(None, (self._record() for _ in range(_TORN_READS))), None)
        if record is None:
            raise DeviceError(f"{self._wire.address}: encoder record in {self._label} is damaged")
        asked_ns, answered_ns = self._wire.round_trip_ns
        if self._time_us is not None:
            # The PLC's clock wraps every 71 minutes.
            self._elapsed_us += (record["time_us"] - self._time_us) & 0xFFFFFFFF
        self._time_us = record["time_us"]
        return EncoderSample(
            count=record["count"],
            device_ns=self._elapsed_us * 1000,
            asked_ns=asked_ns,
            answered_ns=answered_ns,
            boot_id=record["boot_id"],
        )

    def _record(self) -> dict[str, Any] | None:
        return ENCODER.unpack(self._wire.read(self._block, DB_PLC.offset(ENCODER), ENCODER.size))

    def close(self) -> None:
        """Let go."""
        self._wire.close()
