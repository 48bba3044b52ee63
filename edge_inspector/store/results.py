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
from typing import Any, Literal, cast

from edge_inspector.records import Decision, Defect, Delivery, Reason
from edge_inspector.store.database import micros, utc_from
from edge_inspector.store.pictures import find_picture
from edge_inspector.store.results_file import images_dir, open_results
from edge_inspector.store.rows import Bucket, ClassCount, Label, LabelKind, Objection, PartRow, PartStory, StoredView

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
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[PartRow]:
        """The newest `limit` parts that match all arguments, newest first. Use `before_id` for the following ones.

        `since_utc` belongs to the range, `until_utc` does not.
        """
        wanted: list[tuple[str, Any]] = [
            ("utc_us >= ?", since_utc and micros(since_utc)),
            ("utc_us < ?", until_utc and micros(until_utc)),
            ("decision = ?", decision),
            (_SAW_CLASS, defect_class),
            ("part_seq = ?", part_seq),
            ("recipe_id = ?", recipe),
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

    def counts(self, since_utc: datetime, until_utc: datetime, bucket_s: int) -> list[Bucket]:
        """The verdicts in each interval of `bucket_s` seconds that has any, oldest first."""
        width = bucket_s * 1_000_000
        with self._open() as db:
            found = db.execute(
                "SELECT utc_us / ?1 * ?1 AS begins, sum(decision = 1), sum(decision = 2), sum(decision = 3) FROM parts"
                " WHERE utc_us >= ?2 AND utc_us < ?3 GROUP BY begins ORDER BY begins",
                (width, micros(since_utc), micros(until_utc)),
            ).fetchall()
        return [Bucket(utc_from(row[0]), *tuple(row)[1:]) for row in found]

    def pareto(self, since_utc: datetime, until_utc: datetime) -> list[ClassCount]:
        """Each class of defects that was found, the one with the most parts first."""
        with self._open() as db:
            found = db.execute(
                "SELECT defect_class, count(DISTINCT part_id), count(*) FROM defects"
                " JOIN parts ON parts.id = part_id WHERE utc_us >= ? AND utc_us < ?"
                " GROUP BY defect_class ORDER BY 2 DESC, 3 DESC, 1",
                (micros(since_utc), micros(until_utc)),
            ).fetchall()
        return [ClassCount(*row) for row in found]

    def to_review(self, limit: int) -> list[PartRow]:
        """Parts that the model was not sure of and that nobody has labelled yet, newest first."""
        with self._open() as db:
            query = f"{_NEWEST} WHERE review AND NOT {_LABELLED} ORDER BY id DESC LIMIT ?"
            return self._rows(db, query, [limit])

    def objections(self, limit: int) -> list[Objection]:
        """The views on which the shadow model disagreed, newest first."""
        with self._open() as db:
            found = db.execute(
                f"SELECT said.*, ({_ITS_PART}) AS part_id FROM disagreements AS said ORDER BY said.id DESC LIMIT ?",  # noqa: S608 -- of constants
                (limit,),
            ).fetchall()
            return [
                Objection(
                    utc=utc_from(row["utc_us"]),
                    camera=row["camera"],
                    frame_id=row["frame_id"],
                    opinion=row["opinion"],
                    model=row["model"],
                    classes=tuple(json.loads(row["classes"])),
                    part_id=row["part_id"],
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
                "SELECT 1 FROM parts LEFT JOIN views ON part_id = id AND camera = ?2"
                " WHERE id = ?1 AND (?2 = '' OR camera IS NOT NULL)",
                (part_id, view),
            ).fetchone()
            if known is None:
                return False
            db.execute(
                "INSERT INTO labels (part_id, camera, label, defect_class, user, utc_us) VALUES (?, ?, ?, ?, ?, ?)",
                (part_id, view, label, defect_class, user, micros(utc)),
            )
        return True

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
        return PartRow(
            id=row["id"],
            utc=utc_from(row["utc_us"]),
            boot_id=row["boot_id"],
            seq=row["seq"],
            part_seq=row["part_seq"],
            plc_boot_id=row["plc_boot_id"],
            decision=Decision(row["decision"]),
            reason=Reason(row["reason"]),
            rejects=bool(row["rejects"]),
            grade=row["grade"],
            review=bool(row["review"]),
            late=bool(row["late"]),
            recipe_id=row["recipe_id"],
            recipe_hash=row["recipe_hash"],
            criteria=row["criteria"],
            model=row["model"],
            latency_ns=row["latency_ns"],
            classes=classes,
            picture=next((picture for picture in pictures if picture is not None), None),
            labelled=bool(row["labelled"]),
        )

    def _story(self, db: sqlite3.Connection, row: PartRow) -> PartStory:
        part = db.execute("SELECT * FROM parts WHERE id = ?", (row.id,)).fetchone()
        views = db.execute("SELECT * FROM views WHERE part_id = ? ORDER BY captured_ns", (row.id,)).fetchall()
        defects = db.execute(
            "SELECT camera, defect_class, area_mm2, length_mm, confidence, x_mm, y_mm FROM defects"
            " WHERE part_id = ? ORDER BY area_mm2 DESC",
            (row.id,),
        ).fetchall()
        deliveries = db.execute(
            "SELECT link, delivered_ns FROM deliveries WHERE part_id = ? ORDER BY delivered_ns", (row.id,)
        ).fetchall()
        labels = db.execute(
            "SELECT camera, label, defect_class, user, utc_us FROM labels WHERE part_id = ? ORDER BY id", (row.id,)
        ).fetchall()
        return PartStory(
            row=row,
            announced_ns=part["announced_ns"],
            decided_ns=part["decided_ns"],
            due_ns=part["due_ns"],
            trigger_count=part["trigger_count"],
            due_count=part["due_count"],
            positioned=bool(part["positioned"]),
            epoch=part["epoch"],
            error_mm=part["error_mm"],
            missing_views=tuple(json.loads(part["missing_views"])),
            views=tuple(self._view(view) for view in views),
            defects=tuple(Defect(**defect) for defect in defects),
            deliveries=tuple(Delivery(row.boot_id, row.seq, *delivery) for delivery in deliveries),
            labels=tuple(
                Label(
                    camera=camera,
                    label=cast("LabelKind", label),
                    defect_class=defect_class,
                    user=user,
                    utc=utc_from(utc_us),
                )
                for camera, label, defect_class, user, utc_us in labels
            ),
        )

    def _view(self, view: sqlite3.Row) -> StoredView:
        return StoredView(
            camera=view["camera"],
            frame_id=view["frame_id"],
            captured_ns=view["captured_ns"],
            exposure_ns=view["exposure_ns"],
            received_ns=view["received_ns"],
            begun_ns=view["begun_ns"],
            inference_ns=view["inference_ns"],
            encoder_count=view["encoder_count"],
            error_counts=view["error_counts"],
            failure=Reason(view["failure"]),
            doubtful=bool(view["doubtful"]),
            picture=find_picture(self._images, view["picture"]),
        )
