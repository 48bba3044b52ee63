"""An S7 PLC: verdicts and the encoder count, in two non-optimised data blocks."""

from __future__ import annotations

from edge_inspector.plc.block_encoder import BlockEncoder
from edge_inspector.plc.block_link import BlockLink
from edge_inspector.plc.s7_connection import S7Connection, S7Settings
from edge_inspector.plc.seal import read_key
from edge_inspector.plc.wire import Advice, Place
from edge_inspector.records import Identity


class S7Link(BlockLink):
    """The link over PUT/GET."""

    Settings = S7Settings

    def __init__(self, settings: S7Settings, identity: Identity) -> None:
        plc, edge = (Place(number, f"DB{number}") for number in (settings.db_plc, settings.db_edge))
        advice = Advice(place=f"is db_plc = {settings.db_plc} right?")
        super().__init__(
            S7Connection(settings), plc, edge, identity, key=read_key(settings.auth_key_file), advice=advice
        )


class S7Encoder(BlockEncoder):
    """Reads the encoder over PUT/GET."""

    Settings = S7Settings

    def __init__(self, settings: S7Settings) -> None:
        super().__init__(S7Connection(settings), settings.db_plc, f"DB{settings.db_plc}")
