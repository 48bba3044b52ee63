"""The file of the results: its path, its tables, and how readers open it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from edge_inspector.errors import DeviceError

RESULTS_FILE = "results.sqlite"
_STEPS = 1000  # steps of SQLite's machine between two checks of the clock: some 20 us, or 1000 reads of a cold disk

# Times with _ns are monotonic. Only differences between times of the same boot_id mean something. utc_us is
# microseconds since 1970. `picture` is a path without its ending below the folder of the images, or empty if no picture
# was to be kept. The file may not have been written, or may have been deleted since.
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
        brightness REAL, sharpness REAL, confidence REAL, failure INTEGER NOT NULL,
        doubtful INTEGER NOT NULL, picture TEXT NOT NULL,
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
    CREATE INDEX labels_of_part ON labels (part_id);
    CREATE TABLE disagreements (
        id INTEGER PRIMARY KEY, utc_us INTEGER NOT NULL, camera TEXT NOT NULL, frame_id INTEGER NOT NULL,
        captured_ns INTEGER NOT NULL, opinion TEXT NOT NULL, model TEXT NOT NULL, classes TEXT NOT NULL,
        picture TEXT NOT NULL
    )""",
    "ALTER TABLE parts ADD COLUMN criteria TEXT NOT NULL DEFAULT ''",
    # counts over a shift or a week read this index alone
    """CREATE INDEX parts_counted ON parts (utc_us, recipe_id, decision);
    CREATE INDEX labels_by_utc ON labels (utc_us)""",
)


def results_path(state_dir: Path) -> Path:
    """The path of a station's results."""
    return state_dir / RESULTS_FILE


def images_dir(state_dir: Path) -> Path:
    """The folder of a station's pictures."""
    return state_dir / "images"


@contextmanager
def open_results(
    path: Path, mode: Literal["ro", "rw"] = "ro", limit_s: float | None = None
) -> Iterator[sqlite3.Connection]:
    """The results in `path` for one query, or with "rw" for one short transaction, next to the archive's thread.

    Raises DeviceError, also for every error of the file while it is open, and for a query that still runs `limit_s`
    seconds after the opening.
    """
    if not path.exists():
        raise DeviceError(f"results {path}: there are none yet. Has the station run?")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=2.0)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version != len(MIGRATIONS):
                raise DeviceError(
                    f"results {path}: schema {version}, this version reads {len(MIGRATIONS)}:"
                    " run the station with this version once, or use the newer one"
                )
            db.execute("PRAGMA cache_size=-512")  # in KiB. Each thread of the page would otherwise keep the usual 2 MB
            db.execute("PRAGMA foreign_keys=ON")
            db.execute("PRAGMA wal_autocheckpoint=0")  # the archive's thread has the time for that
            db.row_factory = sqlite3.Row
            if limit_s is not None:
                end = time.monotonic() + limit_s
                db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            yield db
    except sqlite3.OperationalError as error:
        # Python's own errors have no such code
        late = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        said = f"no answer within {limit_s:g} s. Ask for less" if late else str(error)
        raise DeviceError(f"results {path}: {said}") from error
    except (sqlite3.Error, OSError, ValueError) as error:
        raise DeviceError(f"results {path}: {error}") from error
