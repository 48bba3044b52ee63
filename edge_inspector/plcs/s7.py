"""Verdicts for an S7 PLC: the two blocks are non-optimised data blocks."""

from __future__ import annotations

from edge_inspector.plcs.block_link import BlockLink
from edge_inspector.plcs.wire import Advice, Place
from edge_inspector.records import Identity
from edge_inspector.s7.connection import S7Connection, S7Settings
from edge_inspector.s7.seal import read_key


class S7Link(BlockLink):
    """The link over PUT/GET."""

    Settings = S7Settings

    def __init__(self, settings: S7Settings, identity: Identity) -> None:
        plc, edge = (Place(number, f"DB{number}") for number in (settings.db_plc, settings.db_edge))
        advice = Advice(place=f"is db_plc = {settings.db_plc} right?")
        super().__init__(
            S7Connection(settings), plc, edge, identity, key=read_key(settings.auth_key_file), advice=advice
        )
