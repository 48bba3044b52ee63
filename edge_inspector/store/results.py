"""The station's results for reading: parts, counts, and parts that a person should review.

Any thread of any process may ask. Each call opens its own read-only connection. The archive's thread writes the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from edge_inspector.codes import Decision, Reason
from edge_inspector.records import Defect, Delivery
from edge_inspector.store.database import insertion, micros, utc_from
from edge_inspector.store.pictures import find_picture
from edge_inspector.store.results_file import images_dir, open_results
from edge_inspector.store.rows import (
    Bucket,
    ClassCount,
    Label,
    LabelKind,
    ObjectionRow,
    PartRow,
    PartStory,
    StoredView,
    read_row,
)

_LABELLED = "EXISTS (SELECT 1 FROM labels WHERE labels.part_id = parts.id)"
# This query searches the few defects once, instead of each part. It is as fast for a class that no part has.
_SAW_CLASS = "id IN (SELECT part_id FROM defects WHERE defect_class = ?)"
# No index leads from a picture to its part. The part is among those decided next, and a belt holds fewer parts than
# this limit.
_ITS_PART = (
    "SELECT id FROM (SELECT id FROM parts WHERE utc_us >= said.utc_us ORDER BY utc_us LIMIT 256)"
    " JOIN views ON views.part_id = id AND views.camera = said.camera"
    " WHERE views.frame_id = said.frame_id AND views.captured_ns = said.captured_ns"
)
_EXAMPLES = 20  # pictures that are looked for: the newest ones may not be written yet
_NEWEST = f"SELECT *, {_LABELLED} AS labelled FROM parts"  # noqa: S608 -- of constants


class Results:
    """The results in `path`. Pictures are in `images` next to it. Every method raises DeviceError.

    With `limit_s`, a query that takes longer raises it too.
    """

    def __init__(self, path: Path, limit_s: float | None = None) -> None:
        self._path = path
        self._limit_s = limit_s
        self._images = images_dir(path.parent)

    def within(self, limit_s: float) -> Results:
        """The same results with a time limit for each query."""
        return Results(self._path, limit_s)

    def parts(
        self,
        *,
        since_utc: datetime | None = None,
        until_utc: datetime | None = None,
        decision: Decision | None = None,
        defect_class: str | None = None,
        part_seq: int | None = None,
        recipe: int | None = None,
        camera: str | None = None,
        reason: Reason | None = None,
        labelled: bool | None = None,
        one_in: int | None = None,
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[PartRow]:
        """The newest `limit` parts that match all arguments, newest first. Use `before_id` for the following ones.

        `since_utc` belongs to the range, `until_utc` does not. `camera` is one that saw a defect. `one_in` takes one
        part in so many, whatever was decided on it: the one whose picture the archive keeps.
        """
        wanted: list[tuple[str, Any]] = [
            ("utc_us >= ?", since_utc and micros(since_utc)),
            ("utc_us < ?", until_utc and micros(until_utc)),
            ("decision = ?", decision),
            (_SAW_CLASS, defect_class),
            ("part_seq = ?", part_seq),
            ("recipe_id = ?", recipe),
            ("id IN (SELECT part_id FROM defects WHERE camera = ?)", camera),
            ("reason = ?", reason),
            (f"{_LABELLED} = ?", labelled),
            ("seq % ? = 0", one_in),
            ("id < ?", before_id),
        ]
        given = [(clause, value) for clause, value in wanted if value is not None]
        where = " AND ".join(clause for clause, _ in given) or "1"
        query = f"{_NEWEST} WHERE {where} ORDER BY id DESC LIMIT ?"
        with self._open() as db:
            return self._rows(db, query, [*(value for _, value in given), limit])

    def part(self, part_id: int) -> PartStory | None:
        """All data of one part. None if there is no such part (any more)."""
        with self._open() as db:
            found = self._rows(db, f"{_NEWEST} WHERE id = ?", [part_id])
            return self._story(db, found[0]) if found else None

    def neighbours(self, part_id: int) -> tuple[int | None, int | None]:
        """The numbers of the parts stored before and after this one. None where there is none."""
        with self._open() as db:
            found = db.execute(
                "SELECT (SELECT max(id) FROM parts WHERE id < ?1), (SELECT min(id) FROM parts WHERE id > ?1)",
                (part_id,),
            ).fetchone()
        return found[0], found[1]

    def numbers(self, boot_id: int, seqs: Sequence[int]) -> dict[int, int]:
        """The store's numbers of these parts of a run, by their number in it. Parts not stored yet are missing."""
        with self._open() as db:
            found = db.execute(
                "SELECT seq, id FROM parts WHERE boot_id = ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
                (boot_id, json.dumps(list(seqs))),
            ).fetchall()
        return dict(map(tuple, found))

    def marked(self) -> dict[str, int]:
        """How many parts people last called good, defect, unsure."""
        with self._open() as db:
            found = db.execute(
                "SELECT label, count(*) FROM (SELECT label, max(id) FROM labels WHERE camera = '' GROUP BY part_id)"
                " GROUP BY label"
            ).fetchall()
        return dict(map(tuple, found))

    def called(self, boot_id: int, seqs: Sequence[int]) -> dict[str, int]:
        """How many of these parts of a run people last called good, defect, unsure."""
        with self._open() as db:
            found = db.execute(
                "SELECT label, count(*) FROM (SELECT label, max(labels.id) FROM labels JOIN parts ON parts.id = part_id"
                " WHERE camera = '' AND boot_id = ? AND seq IN (SELECT value FROM json_each(?)) GROUP BY part_id)"
                " GROUP BY label",
                (boot_id, json.dumps(list(seqs))),
            ).fetchall()
        return dict(map(tuple, found))

    def good_example(self, recipe_id: int, camera: str) -> int | None:
        """The newest clearly good part of this recipe whose picture by this camera is kept."""
        query = (
            "SELECT parts.id, picture FROM parts JOIN views ON part_id = parts.id AND camera = ?2"
            " WHERE recipe_id = ?1 AND decision = 1 AND NOT review AND picture <> ''"
            " AND NOT EXISTS (SELECT 1 FROM labels WHERE labels.part_id = parts.id AND label <> 'good')"
            " ORDER BY parts.id DESC LIMIT ?3"
        )
        with self._open() as db:
            rows = db.execute(query, (recipe_id, camera, _EXAMPLES)).fetchall()
        return next((part_id for part_id, stem in rows if find_picture(self._images, stem) is not None), None)

    def counts(self, since_utc: datetime, until_utc: datetime, bucket_s: int) -> list[Bucket]:
        """The verdicts in each interval of `bucket_s` seconds that has any, oldest first."""
        width = bucket_s * 1_000_000
        with self._open() as db:
            found = db.execute(
                "SELECT utc_us / :width * :width AS begins, sum(decision = 1) AS accept, sum(decision = 2) AS reject,"
                " sum(decision = 3) AS not_inspected FROM parts"
                " WHERE utc_us >= :since AND utc_us < :until GROUP BY begins ORDER BY begins",
                {"width": width, "since": micros(since_utc), "until": micros(until_utc)},
            ).fetchall()
        return [read_row(Bucket, row, utc=utc_from(row["begins"])) for row in found]

    def pareto(self, since_utc: datetime, until_utc: datetime) -> list[ClassCount]:
        """Each class of defects that was found, the one with the most parts first."""
        with self._open() as db:
            found = db.execute(
                "SELECT defect_class, count(DISTINCT part_id) AS parts, count(*) AS defects FROM defects"
                " JOIN parts ON parts.id = part_id WHERE utc_us >= ? AND utc_us < ?"
                " GROUP BY defect_class ORDER BY 2 DESC, 3 DESC, 1",
                (micros(since_utc), micros(until_utc)),
            ).fetchall()
        return [read_row(ClassCount, row) for row in found]

    def to_review(self, limit: int) -> list[PartRow]:
        """Parts that the model was not sure of and that nobody has labelled yet, newest first."""
        with self._open() as db:
            query = f"{_NEWEST} WHERE review AND NOT {_LABELLED} ORDER BY id DESC LIMIT ?"
            return self._rows(db, query, [limit])

    def objections(self, limit: int) -> list[ObjectionRow]:
        """The views on which the shadow model disagreed, newest first."""
        with self._open() as db:
            found = db.execute(
                f"SELECT said.*, ({_ITS_PART}) AS part_id FROM disagreements AS said ORDER BY said.id DESC LIMIT ?",  # noqa: S608 -- of constants
                (limit,),
            ).fetchall()
            return [
                read_row(
                    ObjectionRow,
                    row,
                    utc=utc_from(row["utc_us"]),
                    classes=tuple(json.loads(row["classes"])),
                    picture=find_picture(self._images, row["picture"]),
                )
                for row in found
            ]

    def label(self, part_id: int, view: str, *, label: LabelKind, defect_class: str, user: str, utc: datetime) -> bool:
        """Store the label that `user` gave a view ("" for the whole part). False if there is no such part or view.

        It is a short transaction that runs next to the archive's. It waits for at most two seconds.
        """
        with self._open("rw") as db, db:
            known = db.execute(
                "SELECT 1 FROM parts LEFT JOIN views ON part_id = id AND camera = :view"
                " WHERE id = :part AND (:view = '' OR camera IS NOT NULL)",
                {"part": part_id, "view": view},
            ).fetchone()
            if known is None:
                return False
            row = {"part_id": part_id, "camera": view, "label": label, "defect_class": defect_class, "user": user}
            row["utc_us"] = micros(utc)
            db.execute(insertion("labels", row), row)
        return True

    def label_of(self, part_id: int, view: str) -> str:
        """The newest label of a view ("" for the whole part): a class or a kind. Empty if there is none."""
        with self._open() as db:
            found = db.execute(
                "SELECT label, defect_class FROM labels WHERE part_id = ? AND camera = ? ORDER BY id DESC LIMIT 1",
                (part_id, view),
            ).fetchone()
        return str(found["defect_class"] or found["label"]) if found else ""

    def _open(self, mode: Literal["ro", "rw"] = "ro") -> AbstractContextManager[sqlite3.Connection]:
        return open_results(self._path, mode, self._limit_s)

    def _rows(self, db: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[PartRow]:
        found = db.execute(query, values).fetchall()
        ids = json.dumps([row["id"] for row in found])
        classes: dict[int, dict[str, None]] = defaultdict(dict)
        for part_id, name in db.execute(
            "SELECT part_id, defect_class FROM defects WHERE part_id IN (SELECT value FROM json_each(?))"
            " ORDER BY area_mm2 DESC",
            (ids,),
        ):
            classes[part_id][name] = None
        stems: dict[int, list[str]] = defaultdict(list)
        for part_id, stem in db.execute(
            "SELECT part_id, picture FROM views WHERE part_id IN (SELECT value FROM json_each(?)) AND picture <> ''",
            (ids,),
        ):
            stems[part_id].append(stem)
        return [self._row(row, tuple(classes[row["id"]]), stems[row["id"]]) for row in found]

    def _row(self, row: sqlite3.Row, classes: tuple[str, ...], stems: list[str]) -> PartRow:
        pictures = (find_picture(self._images, stem) for stem in stems)
        return read_row(
            PartRow,
            row,
            utc=utc_from(row["utc_us"]),
            decision=Decision(row["decision"]),
            reason=Reason(row["reason"]),
            rejects=bool(row["rejects"]),
            review=bool(row["review"]),
            late=bool(row["late"]),
            classes=classes,
            picture=next((picture for picture in pictures if picture is not None), None),
            labelled=bool(row["labelled"]),
        )

    def _story(self, db: sqlite3.Connection, row: PartRow) -> PartStory:
        def of_part(query: str) -> list[sqlite3.Row]:
            return db.execute(query, (row.id,)).fetchall()

        (part,) = of_part("SELECT * FROM parts WHERE id = ?")
        views = of_part("SELECT * FROM views WHERE part_id = ? ORDER BY captured_ns")
        defects = of_part("SELECT * FROM defects WHERE part_id = ? ORDER BY area_mm2 DESC")
        deliveries = of_part("SELECT * FROM deliveries WHERE part_id = ? ORDER BY delivered_ns")
        labels = of_part("SELECT * FROM labels WHERE part_id = ? ORDER BY id")
        return read_row(
            PartStory,
            part,
            row=row,
            positioned=bool(part["positioned"]),
            missing_views=tuple(json.loads(part["missing_views"])),
            views=tuple(self._view(view) for view in views),
            defects=tuple(read_row(Defect, defect, box_mm=None) for defect in defects),
            deliveries=tuple(read_row(Delivery, each, boot_id=row.boot_id, seq=row.seq) for each in deliveries),
            labels=tuple(read_row(Label, label, utc=utc_from(label["utc_us"])) for label in labels),
        )

    def _view(self, view: sqlite3.Row) -> StoredView:
        return read_row(
            StoredView,
            view,
            failure=Reason(view["failure"]),
            doubtful=bool(view["doubtful"]),
            picture=find_picture(self._images, view["picture"]),
        )
