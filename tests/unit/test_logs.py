"""A log line is one JSON object; journald gets its level in front of it."""

import json
import logging
import os
import subprocess
import sys

import pytest

from edge_inspector.runtime.logs import JsonLines


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("edge_inspector.stages.track", level, __file__, 1, text, None, None)


def test_a_line_is_one_json_object_whatever_the_message_holds() -> None:
    line = JsonLines().format(record(logging.WARNING, 'Kamera "öffnet"\nnicht'))
    assert "\n" not in line
    said = json.loads(line)
    assert said["message"] == 'Kamera "öffnet"\nnicht'
    assert (said["level"], said["where"]) == ("warning", "stages.track")


def test_journald_is_told_the_level_so_that_p_warning_finds_it() -> None:
    lines = [JsonLines(journal=True).format(record(level, "x")) for level in (logging.INFO, logging.WARNING)]
    assert [line[:3] for line in lines] == ["<6>", "<4>"]
    assert json.loads(lines[0][3:])["message"] == "x"


@pytest.mark.parametrize("ours", [True, False])
def test_only_a_stderr_that_is_the_journals_own_gets_levels(ours: bool) -> None:  # noqa: FBT001 -- both ways
    read, write = os.pipe()
    stream = os.fstat(write) if ours else os.fstat(read)
    program = "import logging; from edge_inspector.runtime.logs import set_up_logging as s; s(); logging.warning('x')"
    environment = {**os.environ, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino if ours else 1}"}
    subprocess.run([sys.executable, "-c", program], env=environment, stderr=write, check=True)
    os.close(write)
    with os.fdopen(read) as pipe:
        line = pipe.read()
    assert line.startswith("<4>{" if ours else "{")
