"""The tables of the results: what every part was and why."""

from __future__ import annotations

from pathlib import Path

RESULTS_FILE = "results.sqlite"

# Times called _ns are monotonic: among those of one boot_id only their differences mean something. utc_us is
# microseconds since 1970. `picture` is a path without its ending below the images' folder, empty where none was to
# be kept; the file may have been left out or given way since.
MIGRATIONS = (
    """CREATE TABLE parts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, boot_id INTEGER NOT NULL, seq INTEGER NOT NULL, utc_us INTEGER NOT NULL,
        part_seq INTEGER NOT NULL, plc_boot_id INTEGER NOT NULL, decision INTEGER NOT NULL, reason INTEGER NOT NULL,
        rejects INTEGER NOT NULL, grade TEXT NOT NULL, review INTEGER NOT NULL, late INTEGER NOT NULL,
        recipe_id INTEGER NOT NULL, recipe_hash TEXT NOT NULL, model TEXT NOT NULL, latency_ns INTEGER NOT NULL,
        announced_ns INTEGER NOT NULL, decided_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL,
        trigger_count INTEGER NOT NULL, due_count INTEGER NOT NULL, positioned INTEGER NOT NULL,
        epoch INTEGER NOT NULL, error_mm REAL, missing_views TEXT NOT NULL, UNIQUE (boot_id, seq)
    );
    CREATE INDEX parts_by_utc ON parts (utc_us);
    CREATE INDEX parts_by_number ON parts (part_seq);
    CREATE INDEX parts_to_review ON parts (id) WHERE review;
    CREATE TABLE views (
        part_id INTEGER NOT NULL REFERENCES parts ON DELETE CASCADE, camera TEXT NOT NULL, frame_id INTEGER NOT NULL,
        captured_ns INTEGER NOT NULL, exposure_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,
        begun_ns INTEGER NOT NULL, inference_ns INTEGER NOT NULL, encoder_count REAL, error_counts REAL,
        failure INTEGER NOT NULL, doubtful INTEGER NOT NULL, picture TEXT NOT NULL,
        PRIMARY KEY (part_id, camera)
    ) WITHOUT ROWID;
    CREATE TABLE defects (
        part_id INTEGER NOT NULL REFERENCES parts ON DELETE CASCADE, camera TEXT NOT NULL, defect_class TEXT NOT NULL,
        area_mm2 REAL NOT NULL, length_mm REAL NOT NULL, confidence REAL NOT NULL, x_mm REAL NOT NULL,
        y_mm REAL NOT NULL
    );
    CREATE INDEX defects_of_part ON defects (part_id);
    CREATE TABLE deliveries (
        part_id INTEGER NOT NULL REFERENCES parts ON DELETE CASCADE, link TEXT NOT NULL,
        delivered_ns INTEGER NOT NULL, PRIMARY KEY (part_id, link)
    ) WITHOUT ROWID;
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY, part_id INTEGER NOT NULL REFERENCES parts ON DELETE CASCADE, camera TEXT NOT NULL,
        label TEXT NOT NULL, defect_class TEXT NOT NULL, user TEXT NOT NULL, utc_us INTEGER NOT NULL
    );
    CREATE INDEX labels_of_part ON labels (part_id)""",
)


def results_path(state_dir: Path) -> Path:
    """Where a station keeps its results."""
    return state_dir / RESULTS_FILE


def images_dir(state_dir: Path) -> Path:
    """Where a station keeps its pictures."""
    return state_dir / "images"
