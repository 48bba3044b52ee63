"""Log lines: for people in a terminal, as JSON everywhere else, with journald's level where it listens."""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import sys
import threading
import time
from contextlib import suppress

from edge_inspector.runtime.clock import utc_text
from edge_inspector.texts import without_passwords

_LINES_MAX = 1000
_LAST_WORDS_S = 0.5

# sd-daemon(3): journald takes these three characters off and files the line under that level.
_JOURNAL_LEVELS = {"DEBUG": "<7>", "INFO": "<6>", "WARNING": "<4>", "ERROR": "<3>", "CRITICAL": "<2>"}


class JsonLines(logging.Formatter):
    """One JSON object per line, for journald and its readers."""

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._levels = _JOURNAL_LEVELS if journal else {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": utc_text(time.monotonic_ns()),
            "level": record.levelname.lower(),
            "where": record.name.removeprefix("edge_inspector."),
            "message": without_passwords(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = without_passwords(self.formatException(record.exc_info))
        return self._levels.get(record.levelname, "") + json.dumps(line, ensure_ascii=False)


class TerminalLines(logging.Formatter):
    """One short line, for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        return without_passwords(super().format(record))


class Aside(logging.Handler):
    """Lines for the file `number`, written by a thread of their own.

    A terminal that is paused, or a journal that takes nothing more, must not hold up the line: what finds no room is
    counted, and told when there is room again.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        # Not a Queue: its lock would stop a signal's handler that logs while its own thread does.
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lost = self._written = self._handed = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line over."""
        if self._lines.qsize() >= _LINES_MAX:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = f"{self._lost} lines before this one could not be written", 0
            self._put(logging.LogRecord(__name__, logging.WARNING, "", 0, lost, None, None))
        self._put(record)

    def flush(self) -> None:
        """Give the thread a moment to write what is left."""
        until = time.monotonic() + _LAST_WORDS_S
        while self._written < self._handed and time.monotonic() < until:
            time.sleep(0.002)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError, KeyError):  # a log call whose arguments do not fit must not end who made it
            self.handleError(record)
        else:
            self._handed += 1
            self._lines.put(line)

    def _write(self) -> None:
        while True:
            # Past Python's own buffer: the lock of one that never empties would be missed at the end of the process.
            rest = f"{self._lines.get()}\n".encode(errors="backslashreplace")
            with suppress(OSError):
                while rest:
                    select.select([], [self._number], [])  # it may be one that does not wait by itself
                    rest = rest[os.write(self._number, rest) :]
            self._written += 1


def set_up_logging() -> None:
    """Everything from INFO on to stderr."""
    try:
        output: logging.Handler = Aside(sys.stderr.fileno())
    except OSError:  # no file behind it: somebody has put an object in its place
        output = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        output.setFormatter(TerminalLines())
    else:
        output.setFormatter(JsonLines(journal=_to_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[output])
    # python-snap7 reports every connect and disconnect on its own; ours say it with the reason.
    logging.getLogger("snap7").setLevel(logging.ERROR)
    logging.getLogger("s7").setLevel(logging.ERROR)


def _to_journal() -> bool:
    """Whether stderr itself, and not that of a parent alone, is journald's: it names the stream by device and inode."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
