"""The encoder that a PLC publishes in holding registers over Modbus TCP."""

from __future__ import annotations

from edge_inspector.encoders.block_encoder import BlockEncoder
from edge_inspector.modbus.connection import ModbusConnection, ModbusSettings


class ModbusEncoder(BlockEncoder):
    """The encoder over function code 3."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings) -> None:
        label = f"the block from register {settings.plc_address}"
        super().__init__(ModbusConnection(settings), settings.plc_address, label)
