"""The encoder count that the PLC publishes with its own clock in DB_Plc, for any protocol."""

from __future__ import annotations

from typing import Any

from edge_inspector.errors import DeviceError
from edge_inspector.plc.blocks import DB_PLC, ENCODER
from edge_inspector.plc.wire import Wire
from edge_inspector.records import EncoderSample

_TORN_READS = 3  # a read may meet the PLC while it writes. This many in a row mean another layout


class BlockEncoder:
    """Reads {boot_id, count, time_us} of one scan in one request, over its own connection."""

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
        """Take one sample. Raises DeviceError, also for a record with a wrong CRC."""
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
        """Close the connection."""
        self._wire.close()
