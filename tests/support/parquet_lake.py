"""What is in a bucket, as a program of the plant reads it."""

from __future__ import annotations

import json
from typing import Any

import obstore
import pyarrow as pa
from pyarrow import parquet


class Lake:
    """The files in a store of obstore. Whoever reads them knows nothing of positions."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def paths(self, table: str) -> list[str]:
        """The files of a table, in order."""
        return sorted(each["path"] for chunk in obstore.list(self.store, table) for each in chunk)

    def content(self, path: str) -> bytes:
        """The bytes of a file."""
        return bytes(obstore.get(self.store, path).bytes())

    def rows(self, table: str, source: str = "") -> list[dict[str, Any]]:
        """The rows of a table, file by file. `source`: those of one station."""
        found: list[dict[str, Any]] = []
        for path in self.paths(f"{table}/source={source}" if source else table):
            found += parquet.read_table(pa.BufferReader(self.content(path))).to_pylist()
        return found

    def keys(self, source: str) -> list[list[str]]:
        """Run, number and decision of each part of a station, as texts and in order."""
        rows = sorted((row["boot_id"], row["seq"], row["decision"]) for row in self.rows("parts", source))
        return [[str(boot), str(seq), decision] for boot, seq, decision in rows]

    def note(self, source: str) -> dict[str, Any]:
        """The note about a station."""
        told: dict[str, Any] = json.loads(self.content(f"stations/{source}.json"))
        return told
