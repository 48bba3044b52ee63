"""The encoder count that a PLC publishes in holding registers over Modbus TCP."""

from __future__ import annotations

from edge_inspector.encoders.block_encoder import BlockEncoder
from edge_inspector.modbus.connection import ModbusSettings
from edge_inspector.modbus.shared import connection_of
from edge_inspector.s7.blocks import DB_PLC
from edge_inspector.s7.word_order import LowWordFirst


class ModbusEncoder(BlockEncoder):
    """Reads the encoder with function code 3."""

    Settings = ModbusSettings

    def __init__(self, settings: ModbusSettings) -> None:
        label = f"the block from register {settings.plc_address}"
        wire = connection_of(settings)
        turned = LowWordFirst(wire, {settings.plc_address: DB_PLC})
        super().__init__(turned if settings.word_order == "low-first" else wire, settings.plc_address, label)
