"""Which camera was being opened when the daemon died. A camera that ends it again and again is left out.

If a library cannot handle a camera, the whole process dies, and so does every restart. Therefore a note is written
before a camera is opened. The note is removed when the camera has given a picture. A note that exists at the start
means that the process died.

Only a young daemon writes notes. In a loop of crashes every daemon is young. A camera that is absent for days therefore
causes no wear of the disk. A note is not synced. It survives a crash but not a power cut, which is no camera's fault.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge_inspector.store.whole_file import draft_of

log = logging.getLogger(__name__)

_DEATHS: Final = 3
_WITHIN_NS: Final = 600_000_000_000
_YOUNG_NS: Final = 120_000_000_000
_PATIENCE_S: Final = 1.0
_KERNEL: Final = Path("/proc/sys/kernel/random/boot_id")


class Openings:
    """The notes of all cameras. Any thread may ask.

    `write` belongs to a thread of its own, because the disk may hang.
    """

    def __init__(self, folder: Path, cameras: Iterable[str]) -> None:
        self._born_ns = time.monotonic_ns()
        self._run = _KERNEL.read_text().strip() if _KERNEL.exists() else ""
        self._files = {camera: folder / f"opening-{camera}.json" for camera in cameras}
        self._deaths = {camera: self._found(file) for camera, file in self._files.items()}
        self._noted: set[str] = set()
        self._lock = threading.Lock()
        self._alone: str | None = None
        self._notes: queue.SimpleQueue[tuple[Path, str, threading.Event]] = queue.SimpleQueue()
        self._hangs = False

    def left_out(self, camera: str) -> str:
        """Why the camera must not be opened. Empty if it may."""
        deaths = len(self._deaths[camera])
        if deaths < _DEATHS:
            return ""
        minutes = _WITHIN_NS // 60_000_000_000
        return (
            f"the program died {deaths} times within {minutes} minutes while it opened this camera. It is left out: "
            "find out what is wrong with it, then give RESET to try again"
        )

    def forgive(self, camera: str) -> None:
        """A person has checked the camera. It may be opened once more. If that ends the daemon, it is left out."""
        with self._lock:
            del self._deaths[camera][0]

    def begin(self, camera: str) -> bool:
        """Whether the camera may be opened now.

        Cameras that were being opened when the daemon died are opened one at a time.
        """
        if time.monotonic_ns() - self._born_ns > _YOUNG_NS:
            return True
        with self._lock:
            if self._deaths[camera]:
                if self._alone not in (None, camera):
                    return False
                self._alone = camera
            self._noted.add(camera)
        written = self._note(camera, time.monotonic_ns())
        # A disk that hangs must not prevent the opening of a camera, and is waited for only once.
        if not self._hangs:
            self._hangs = not written.wait(_PATIENCE_S)
        return True

    def end(self, camera: str, *, worked: bool) -> None:
        """The process survived the opening: the camera `worked` or failed normally. Safe at any time, also twice."""
        with self._lock:
            if self._alone == camera:
                self._alone = None
            if worked:
                self._deaths[camera].clear()
            noted = camera in self._noted
            self._noted.discard(camera)
        if noted:
            self._note(camera, 0)

    @property
    def waiting(self) -> bool:
        """Whether there is a note that is not written yet."""
        return not self._notes.empty()

    def write(self, timeout_s: float) -> None:
        """Write the next note, if one arrives in time."""
        try:
            file, text, written = self._notes.get(timeout=timeout_s)
        except queue.Empty:
            return
        try:
            if text:
                with draft_of(file, synced=False) as draft:
                    draft.write_text(text)
            else:
                file.unlink(missing_ok=True)
        except OSError as error:
            log.info(
                "%s: cannot be written, so the station cannot see whether a camera crashes the daemon: %s", file, error
            )
        self._hangs = False
        written.set()

    def _note(self, camera: str, opening_ns: int) -> threading.Event:
        deaths, written = self._deaths[camera], threading.Event()
        note = {"run": self._run, "deaths": deaths, "opening_ns": opening_ns}
        self._notes.put((self._files[camera], json.dumps(note) if opening_ns or deaths else "", written))
        return written

    def _found(self, file: Path) -> list[int]:
        """The deaths in the last minutes, by the monotonic clock, which starts over with the machine."""
        try:
            note = json.loads(file.read_bytes()[:10_000]) if file.is_file() else {}
            if note.get("run") != self._run:
                return []
            told = [*note["deaths"], *([note["opening_ns"]] if note["opening_ns"] else [])]
        except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
            return []
        return [each for each in told if type(each) is int and 0 <= self._born_ns - each <= _WITHIN_NS]
