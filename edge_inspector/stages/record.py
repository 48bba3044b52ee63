"""The thread that writes the record of a shift. The judge never waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.realtime import go_last
from edge_inspector.shifts.files import ShiftWriter, free_on, room_for
from edge_inspector.shifts.head import ShiftHead
from edge_inspector.shifts.tape import Tape

log = logging.getLogger(__name__)

_REST_S = 0.05
_FLUSH_NS = 1_000_000_000
_TIDY_NS = 10_000_000_000
_PICTURES = 8  # between two looks at the steps, because packing a picture takes a while
_LAST_PICTURES_NS = 500_000_000  # how long pictures are still written when the station stops


class Recording:
    """Writes what is on the tape into a new folder below `root`.

    All records together take `budget` bytes, and leave `min_free` bytes of the disk free. The oldest are deleted first.
    `head()` is the first page. If the record has to end, the condition RECORD_ENDED says why, and verdicts go on.
    """

    name = "record"
    beat_within_s = 60.0  # a full disk may let it wait

    def __init__(
        self,
        tape: Tape,
        root: Path,
        *,
        budget: int,
        min_free: int,
        head: Callable[[], ShiftHead],
        conditions: Conditions,
    ) -> None:
        self._tape = tape
        self._root = root
        self._budget = budget
        self._min_free = min_free
        self._head = head
        self._conditions = conditions
        self._writer: ShiftWriter | None = None
        self._flushed_ns = self._tidied_ns = 0
        self._sizes: dict[Path, int] = {}
        self._ended = False

    def start(self) -> None:
        """Begin a record. After a failure there is none."""
        go_last()
        if self._writer is not None:
            self._end("its thread failed")

    def step(self) -> None:
        """Write what has come."""
        if self._ended:
            time.sleep(_REST_S)
            return
        try:
            self._write()
        except DeviceError as error:
            self._end(str(error))
        if not self._tape.pictures:
            time.sleep(_REST_S)

    def stop(self, *, failed: bool) -> None:
        """Write the rest, and close the record."""
        if failed or self._ended or self._writer is None:
            return
        try:
            self._finish(self._writer)
            self._writer.end(self._tape.why, self._tape.left_out)
        except DeviceError as error:
            log.warning("the record of this shift was not closed: %s", error)
            self._writer.close()

    def _write(self) -> None:
        writer = self._writer or self._begin()
        self._drain(writer)
        now = time.monotonic_ns()
        if now - self._flushed_ns > _FLUSH_NS:
            self._flushed_ns = now
            writer.flush()
            metrics.record_bytes.set(writer.size)
            metrics.record_pictures_left_out.set(self._tape.left_out)
        if now - self._tidied_ns > _TIDY_NS or writer.size > self._budget:
            self._tidied_ns = now
            why = self._no_room(writer)
            if why:  # never an empty one: the judge's thread may just have set its own
                self._tape.why = why
        if self._tape.why:
            writer.end(self._tape.why, self._tape.left_out)
            self._end(self._tape.why)

    def _no_room(self, writer: ShiftWriter) -> str:
        """Why there is no room for more, after the oldest records were deleted. Empty if there is."""
        if not room_for(self._root, self._budget, writer, self._sizes, min_free=self._min_free):
            return f"record.budget_mb is used up ({self._budget // 2**20} MB)"
        try:
            free = free_on(self._root)
        except OSError as error:
            raise DeviceError(f"{self._root}: cannot be read: {error.strerror}") from error
        return "the disk has less than archive.min_free_mb free" if free < self._min_free else ""

    def _begin(self) -> ShiftWriter:
        head = self._head()
        room_for(self._root, self._budget, known=self._sizes)
        folder = self._root / f"{head.began.replace(':', '').replace('.', '-')}-{head.boot_id:08x}"
        self._writer = ShiftWriter(folder, head)
        log.info("this shift is recorded in %s", folder)
        return self._writer

    def _drain(self, writer: ShiftWriter) -> None:
        tape = self._tape
        for _ in range(len(tape.steps)):
            writer.step(tape.steps.popleft())
        for _ in range(min(len(tape.pictures), _PICTURES)):
            writer.picture(tape.pictures.popleft())

    def _finish(self, writer: ShiftWriter) -> None:
        until_ns = time.monotonic_ns() + _LAST_PICTURES_NS
        self._drain(writer)
        while self._tape.pictures and time.monotonic_ns() < until_ns:
            self._drain(writer)
        self._tape.left_out += len(self._tape.pictures)

    def _end(self, why: str) -> None:
        self._ended = True
        if self._writer is not None:
            self._writer.close()
        self._tape.why = self._tape.why or why
        self._tape.steps.clear()
        self._tape.pictures.clear()
        self._conditions.set(ErrorCode.RECORD_ENDED, "shift", why)
