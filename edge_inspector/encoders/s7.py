"""The encoder count that an S7 PLC publishes in DB_Plc."""

from __future__ import annotations

from edge_inspector.encoders.block_encoder import BlockEncoder
from edge_inspector.s7.connection import S7Connection, S7Settings


class S7Encoder(BlockEncoder):
    """Reads the encoder over PUT/GET."""

    Settings = S7Settings

    def __init__(self, settings: S7Settings) -> None:
        super().__init__(S7Connection(settings), settings.db_plc, f"DB{settings.db_plc}")
