"""The connection that link and encoder need for the two blocks."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, Protocol


class Wire(Protocol):
    """A connection to the PLC's memory. Any error closes it. One thread owns it."""

    address: str

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the last call succeeded."""

    @property
    @abstractmethod
    def round_trip_ns(self) -> tuple[int, int]:
        """When the last request left this process and when its answer began to arrive, on the monotonic clock."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Raises DeviceError."""

    @abstractmethod
    def read(self, block: int, start: int, size: int) -> bytes:
        """`size` bytes of a block. Several requests, if needed, go in ascending order. Raises DeviceError."""

    @abstractmethod
    def write(self, block: int, start: int, content: bytes) -> None:
        """Write one record. If it takes several requests, its first bytes go last. Raises DeviceError.

        A write that timed out may still be applied later.
        """

    @abstractmethod
    def close(self) -> None:
        """Close without a message to the PLC."""


class Advice(NamedTuple):
    """Advice for a block that is not as expected: words of 32-bit values swapped, bytes swapped, or another address."""

    words: str = "the PLC must write the high word first"
    octets: str = "the PLC must write the high byte first"
    place: str = "is it the right block?"


class Place(NamedTuple):
    """A block's number on the wire, and its name for people."""

    block: int
    label: str
