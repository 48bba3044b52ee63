"""An S7 PLC as it is: values in data blocks, merkers and inputs, over PUT/GET."""

from __future__ import annotations

import re

from snap7.type import Area

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.plc.s7_connection import S7Address, S7Connection
from edge_inspector.plc.simple.cells import BIT, KINDS, PlcCell
from edge_inspector.plc.simple.encoder import SimpleEncoder
from edge_inspector.plc.simple.link import SimpleLink
from edge_inspector.plc.simple.settings import SimpleEncoderSettings, SimpleSettings
from edge_inspector.records import Identity

_PLACE = re.compile(
    r"^(?:DB(?P<block>\d+)\.DB|(?P<area>[MIEQA]))(?P<size>[XBWD]?)(?P<start>\d+)(?:\.(?P<bit>[0-7]))?$", re.IGNORECASE
)
_USUAL = {"X": BIT, "B": "byte", "W": "uint", "D": "dint"}
_SIZES = {"X": 1, "B": 1, "W": 2, "D": 4}
_AREAS = {"M": Area.MK, "I": Area.PE, "Q": Area.PA, "DB": Area.DB}
_OTHER_LETTERS = {"E": "I", "A": "Q"}
_HOW = 'write it as "DB10.DBD4 as dint", "DB10.DBX0.3", "MW20 as int", "M10.2" or "ID1000"'


def s7_cell(text: str) -> PlcCell:
    """The place that a text means, as DB10.DBD4 as dint. Raises ConfigError."""
    where, _, kind = (part.strip() for part in text.partition(" as "))
    found = _PLACE.match(where.replace(" ", ""))
    if found is None:
        raise ConfigError([Fault(text, f"is no place in an S7 PLC: {_HOW}")])
    size = (found["size"] or ("X" if found["bit"] else "")).upper()
    kind = kind.lower() or _USUAL.get(size, "")
    if not size or (size == "X") != (found["bit"] is not None) or (size == "X") != (kind == BIT):
        raise ConfigError([Fault(text, f"says not whether it is a bit, byte, word or double word: {_HOW}")])
    if kind != BIT and (kind not in KINDS or (KINDS[kind][1] != _SIZES[size] and kind != "lreal")):
        fitting = [name for name, (_, length) in KINDS.items() if length == _SIZES[size]]
        raise ConfigError([Fault(text, f"cannot be {kind!r}; {size} has: {', '.join(fitting)}")])
    letter = (found["area"] or "DB").upper()
    return PlcCell(
        _OTHER_LETTERS.get(letter, letter),
        int(found["block"] or 0),
        int(found["start"]),
        kind,
        bit=int(found["bit"]) if found["bit"] else None,
        text=text,
    )


class S7Memory(S7Connection):
    """Reads and writes cells."""

    def read(self, first: PlcCell, size: int) -> bytes:  # type: ignore[override]
        """`size` bytes from the place of `first` on. Raises DeviceError."""
        return self.read_area(_AREAS[first.area], first.block, first.start, size)

    def write(self, first: PlcCell, content: bytes) -> None:  # type: ignore[override]
        """Write bytes from the place of `first` on. Raises DeviceError."""
        self.write_area(_AREAS[first.area], first.block, first.start, content)


class S7SimpleLink(SimpleLink):
    """The link over PUT/GET."""

    class Settings(S7Address, SimpleSettings):
        """The PLC, and where its values are: `DB10.DBD4 as dint`, `M10.2`, `IW64`."""

        def cell(self, text: str) -> PlcCell:
            """The place that a text means. Raises ConfigError."""
            return s7_cell(text)

    def __init__(self, settings: Settings, identity: Identity) -> None:
        super().__init__(S7Memory(settings), settings, identity)


class S7SimpleEncoder(SimpleEncoder):
    """Reads the encoder over PUT/GET."""

    class Settings(S7Address, SimpleEncoderSettings):
        """The PLC, and where the belt's position is: `DB10.DBD8 as dint`, `DB10.DBD12 as real`, `M10.2`."""

        def cell(self, text: str) -> PlcCell:
            """The place that a text means. Raises ConfigError."""
            return s7_cell(text)

    def __init__(self, settings: Settings) -> None:
        super().__init__(S7Memory(settings), settings)
