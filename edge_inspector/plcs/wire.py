"""What a link over the two blocks needs of the connection below it."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, Protocol


class Wire(Protocol):
    """A connection to the PLC's memory, closed by any error. One thread owns it."""

    address: str

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the last call succeeded."""

    @abstractmethod
    def open(self) -> None:
        """Connect. Raises DeviceError."""

    @abstractmethod
    def read(self, block: int, start: int, size: int) -> bytes:
        """`size` bytes of a block, in ascending order where it takes more than one request. Raises DeviceError."""

    @abstractmethod
    def write(self, block: int, start: int, content: bytes) -> None:
        """One record; its first bytes last where it takes more than one request. Raises DeviceError.

        Applied later, perhaps, when it timed out.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go, without a word."""


class Advice(NamedTuple):
    """What to do when a block is not what it should be: words of 32-bit values swapped, bytes swapped, elsewhere."""

    words: str = "the PLC must write the high word first"
    octets: str = "the PLC must write the high byte first"
    place: str = "is it the right block?"


class Place(NamedTuple):
    """Where a block is: its number on the wire, and what a person calls it."""

    block: int
    label: str
