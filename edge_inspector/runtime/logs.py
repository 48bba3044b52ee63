"""Log lines: for people in a terminal, as JSON everywhere else, with journald's level where it listens."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from edge_inspector.runtime.clock import utc_text

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
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return self._levels.get(record.levelname, "") + json.dumps(line, ensure_ascii=False)


def set_up_logging() -> None:
    """Everything from INFO on to stderr."""
    output = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        output.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s", "%H:%M:%S"))
    else:
        output.setFormatter(JsonLines(journal=_to_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[output])
    # python-snap7 reports every connect and disconnect on its own; ours say it with the reason.
    logging.getLogger("snap7").setLevel(logging.ERROR)
    logging.getLogger("s7").setLevel(logging.ERROR)
    # What pymodbus logs as an error comes as a DeviceError too.
    logging.getLogger("pymodbus_internal").setLevel(logging.CRITICAL)


def _to_journal() -> bool:
    """Whether stderr itself, and not that of a parent alone, is journald's: it names the stream by device and inode."""
    try:
        stream = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
