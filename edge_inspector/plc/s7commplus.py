"""An S7 PLC whose protection stays as it is: the same two blocks, over the protocol of TIA Portal and HMI panels."""

from __future__ import annotations

from collections.abc import Mapping

from edge_inspector.plc.block_encoder import BlockEncoder
from edge_inspector.plc.block_link import BlockLink
from edge_inspector.plc.blocks import DB_EDGE, DB_PLC, Block
from edge_inspector.plc.s7commplus_connection import S7CommPlusConnection, S7CommPlusSettings
from edge_inspector.plc.s7commplus_values import S7CommPlusValues
from edge_inspector.plc.seal import read_key
from edge_inspector.plc.wire import Advice, Place
from edge_inspector.records import Identity


class S7CommPlusLink(BlockLink):
    """The link over S7CommPlus."""

    Settings = S7CommPlusSettings

    def __init__(self, settings: S7CommPlusSettings, identity: Identity) -> None:
        names = (settings.db_plc, settings.db_edge)
        plc, edge = (Place(place, _called(name)) for place, name in zip(settings.blocks, names, strict=True))
        wire = _wire(settings, {plc.block: DB_PLC, edge.block: DB_EDGE})
        advice = Advice(place=f"is db_plc = {settings.db_plc} right?")
        super().__init__(wire, plc, edge, identity, key=read_key(settings.auth_key_file), advice=advice)


class S7CommPlusEncoder(BlockEncoder):
    """Reads the encoder over S7CommPlus."""

    Settings = S7CommPlusSettings

    def __init__(self, settings: S7CommPlusSettings) -> None:
        place = settings.blocks[0]
        super().__init__(_wire(settings, {place: DB_PLC}), place, _called(settings.db_plc))


def _wire(settings: S7CommPlusSettings, layouts: Mapping[int, Block]) -> S7CommPlusConnection:
    """A connection to the blocks as bytes, or value by value."""
    return S7CommPlusValues(settings, layouts) if settings.symbolic else S7CommPlusConnection(settings)


def _called(block: int | str) -> str:
    return f"DB{block}" if isinstance(block, int) else block
