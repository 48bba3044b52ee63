"""Verdicts for a PLC with Modbus TCP: the two blocks lie in holding registers."""

from __future__ import annotations

from edge_inspector.modbus.connection import ModbusSettings
from edge_inspector.modbus.shared import connection_of
from edge_inspector.plcs.block_link import BlockLink
from edge_inspector.plcs.wire import Advice, Place
from edge_inspector.records import Identity
from edge_inspector.s7.blocks import DB_EDGE, DB_PLC
from edge_inspector.s7.seal import read_key
from edge_inspector.s7.word_order import LowWordFirst


class ModbusLink(BlockLink):
    """The link over function codes 3 and 16."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings, identity: Identity) -> None:
        blocks = {settings.plc_address: DB_PLC, settings.edge_address: DB_EDGE}
        plc, edge = (Place(address, f"the block from register {address}") for address in blocks)
        wire = connection_of(settings)
        advice = Advice(
            f'write word_order = "{settings.other(settings.word_order)}"',
            f'write byte_order = "{settings.other(settings.byte_order)}"',
            f"is plc_address = {settings.plc_address} right (register 40001 has address 0)?",
        )
        super().__init__(
            LowWordFirst(wire, blocks) if settings.word_order == "low-first" else wire,
            plc,
            edge,
            identity,
            key=read_key(settings.auth_key_file),
            advice=advice,
        )
