"""Log lines: for people in a terminal, otherwise as JSON, with levels for journald if it reads them."""

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
from edge_inspector.texts import printable, without_passwords

_LINES_MAX = 1000
_LAST_WORDS_S = 0.5

# sd-daemon(3): journald removes these three characters and stores the line with that level.
_JOURNAL_LEVELS = {"DEBUG": "<7>", "INFO": "<6>", "WARNING": "<4>", "ERROR": "<3>", "CRITICAL": "<2>"}


def _escaped(line: str) -> str:
    """JSON without a character that a terminal or an editor obeys. JSON itself escapes only those below 0x20."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)


class JsonLines(logging.Formatter):
    """One JSON object per line, for journald and its readers."""

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._levels = _JOURNAL_LEVELS if journal else {}

    def format(self, record: logging.LogRecord) -> str:
        """Make one line of the record."""
        line = {
            "time": utc_text(time.monotonic_ns()),
            "level": record.levelname.lower(),
            "where": record.name.removeprefix("edge_inspector."),
            "message": without_passwords(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = without_passwords(self.formatException(record.exc_info))
        return self._levels.get(record.levelname, "") + _escaped(json.dumps(line, ensure_ascii=False))


class TerminalLines(logging.Formatter):
    """One short line, for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Make one line of the record. Further lines of it are indented, so that nobody takes them for others."""
        first, *others = without_passwords(super().format(record)).splitlines() or [""]
        return "\n".join((printable(first), *(f"    {printable(each)}" for each in others)))


class Aside(logging.Handler):
    """Log lines for the file descriptor `number`, written by a separate thread.

    A paused terminal or a journal that accepts nothing must not hold up the line. Lines that find no room are counted.
    The count is logged when there is room again.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        # A Queue has a lock, which would block a signal handler that logs while its own thread holds the lock.
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lost = self._written = self._handed = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record to the thread."""
        if self._lines.qsize() >= _LINES_MAX:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = f"{self._lost} lines before this one could not be written", 0
            self._put(logging.LogRecord(__name__, logging.WARNING, "", 0, lost, None, None))
        self._put(record)

    def flush(self) -> None:
        """Give the thread a moment to write the lines that are left."""
        until = time.monotonic() + _LAST_WORDS_S
        while self._written < self._handed and time.monotonic() < until:
            time.sleep(0.002)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError, KeyError):  # a log call with wrong arguments must not end its caller
            self.handleError(record)
        else:
            self._handed += 1
            self._lines.put(line)

    def _write(self) -> None:
        while True:
            # This bypasses Python's buffer. At the end of the process the interpreter could not get the lock of a
            # buffer that never empties.
            rest = f"{self._lines.get()}\n".encode(errors="backslashreplace")
            with suppress(OSError):
                while rest:
                    select.select([], [self._number], [])  # the file may be non-blocking
                    rest = rest[os.write(self._number, rest) :]
            self._written += 1


def set_up_logging() -> None:
    """Log everything from INFO on to stderr."""
    try:
        output: logging.Handler = Aside(sys.stderr.fileno())
    except OSError:  # no file behind it: an object has replaced stderr
        output = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        output.setFormatter(TerminalLines())
    else:
        output.setFormatter(JsonLines(journal=_to_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[output])
    # python-snap7 logs every connect and disconnect. Our own messages say it with the reason.
    logging.getLogger("snap7").setLevel(logging.ERROR)
    logging.getLogger("s7").setLevel(logging.ERROR)


def _to_journal() -> bool:
    """Whether journald reads this stderr itself, and not only a parent's.

    journald names its stream by device and inode.
    """
    try:
        stream = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
