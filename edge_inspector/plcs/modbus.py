"""Verdicts into a PLC that speaks Modbus TCP: the two blocks in holding registers."""

from __future__ import annotations

from edge_inspector.modbus.connection import ModbusConnection, ModbusSettings
from edge_inspector.plcs.block_link import BlockLink, Place
from edge_inspector.records import Identity


class ModbusLink(BlockLink):
    """The link over function codes 3 and 16."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings, identity: Identity) -> None:
        plc, edge = (
            Place(address, f"the block from register {address}")
            for address in (settings.plc_address, settings.edge_address)
        )
        super().__init__(ModbusConnection(settings), plc, edge, identity)
