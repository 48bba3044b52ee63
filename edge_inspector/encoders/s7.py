"""The encoder count that the PLC publishes with its own clock, over a connection of its own."""

from __future__ import annotations

from typing import Any

from edge_inspector.errors import DeviceError
from edge_inspector.records import EncoderSample
from edge_inspector.s7.blocks import DB_PLC, ENCODER
from edge_inspector.s7.connection import S7Connection, S7Settings

_TORN_READS = 3  # a read may meet the PLC while it writes; this many in a row is another layout


class S7Encoder:
    """Reads {boot_id, count, time_us} of one scan in one PDU."""

    Settings = S7Settings

    def __init__(self, settings: S7Settings) -> None:
        self._settings = settings
        self._connection = S7Connection(settings)
        self._time_us: int | None = None
        self._elapsed_us = 0

    def open(self) -> None:
        """Connect. Raises DeviceError."""
        self._connection.open()

    def read(self) -> EncoderSample:
        """One sample. Raises DeviceError, also for a record whose CRC does not hold."""
        record = next(filter(None, (self._record() for _ in range(_TORN_READS))), None)
        if record is None:
            raise DeviceError(f"{self._connection.address}: encoder record in DB{self._settings.db_plc} is damaged")
        asked_ns, answered_ns = self._connection.round_trip_ns
        if self._time_us is not None:
            # The PLC's clock wraps every 71 minutes.
            self._elapsed_us += (record["time_us"] - self._time_us) & 0xFFFFFFFF
        self._time_us = record["time_us"]
        return EncoderSample(record["count"], self._elapsed_us * 1000, asked_ns, answered_ns, record["boot_id"])

    def _record(self) -> dict[str, Any] | None:
        return ENCODER.unpack(self._connection.read(self._settings.db_plc, DB_PLC.offset(ENCODER), ENCODER.size))

    def close(self) -> None:
        """Let go."""
        self._connection.close()
