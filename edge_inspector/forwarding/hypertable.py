"""TimescaleDB: the table of parts in chunks of some days each. What a hypertable cannot have is removed."""

from __future__ import annotations

from typing import Final

EXTENSION: Final = (
    "SELECT (SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
    " WHERE extname = 'timescaledb')"
)
"""Asks for the schema of TimescaleDB. NULL if the database does not have it."""

KEY_COLUMNS: Final = (
    "SELECT (SELECT array_length(conkey, 1) FROM pg_constraint"
    " WHERE conrelid = to_regclass('edge_inspector.parts') AND contype = 'p')"
)
"""Asks how many columns name a part. An ordinary table has three."""

ORDINARY: Final = 3


def hypertable(extension: str, days: int) -> list[str]:
    """What makes `parts` a hypertable. `extension` is the schema of TimescaleDB 2.13 or later.

    A hypertable has the time in each key. That of a part never changes, so a part that is sent again is still known.
    No table may refer to a part by a key without time, so views and defects are no longer removed with their parts.
    """
    named = f'"{extension.replace(chr(34), chr(34) * 2)}"'
    span = f"{named}.by_range('utc', INTERVAL '{days:d} days')"
    return [
        "ALTER TABLE views DROP CONSTRAINT views_station_id_boot_id_seq_fkey",
        "ALTER TABLE defects DROP CONSTRAINT defects_station_id_boot_id_seq_fkey",
        "ALTER TABLE parts DROP CONSTRAINT parts_pkey",
        "ALTER TABLE parts ADD PRIMARY KEY (station_id, boot_id, seq, utc)",
        f"SELECT {named}.create_hypertable('edge_inspector.parts', {span}, migrate_data => true)",
    ]
