"""A log line is one JSON object; journald gets its level in front of it."""

import json
import logging
import os
import re
import subprocess
import sys
import threading

import pytest

from edge_inspector.runtime.logs import Aside, JsonLines, TerminalLines

_LOST = r"(\d+) lines before this one could not be written"


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("edge_inspector.stages.track", level, __file__, 1, text, None, None)


def test_a_line_is_one_json_object_whatever_the_message_holds() -> None:
    line = JsonLines().format(record(logging.WARNING, 'Kamera "öffnet"\nnicht'))
    assert "\n" not in line
    said = json.loads(line)
    assert said["message"] == 'Kamera "öffnet"\nnicht'
    assert (said["level"], said["where"]) == ("warning", "stages.track")


BAD = "x\x1b[31m\x07\x7f\x9b\u2028\u202e\n12:00:00 CRITICAL station is ready"


def test_no_line_holds_what_a_terminal_or_an_editor_obeys() -> None:
    as_json = JsonLines().format(record(logging.WARNING, BAD))
    assert as_json.isprintable()
    assert json.loads(as_json)["message"] == BAD
    for line in TerminalLines().format(record(logging.WARNING, BAD)).split("\n")[1:]:
        assert line.isprintable()
        assert line.startswith("    "), "it cannot be taken for a line of its own"


def test_journald_is_told_the_level_so_that_p_warning_finds_it() -> None:
    lines = [JsonLines(journal=True).format(record(level, "x")) for level in (logging.INFO, logging.WARNING)]
    assert [line[:3] for line in lines] == ["<6>", "<4>"]
    assert json.loads(lines[0][3:])["message"] == "x"


@pytest.mark.parametrize("lines", [JsonLines(), TerminalLines()], ids=["JSON", "terminal"])
def test_no_line_shows_a_password(lines: logging.Formatter) -> None:
    said = record(logging.WARNING, "top: rtsp://eva:geheim@192.0.2.7/1?user=eva&password=geheim does not open")
    said.exc_info = (OSError, OSError("http://eva:geheim@192.0.2.7/2"), None)
    told = lines.format(said)
    assert "geheim" not in told
    assert "192.0.2.7/1" in told
    assert "192.0.2.7/2" in told


def test_a_terminal_that_takes_nothing_holds_nobody_up_and_what_it_missed_is_told() -> None:
    read, write = os.pipe()
    program = (
        "import logging, sys, time\n"
        "from edge_inspector.runtime.logs import set_up_logging\n"
        "set_up_logging()\n"
        "begun = time.monotonic()\n"
        "for number in range(5000): logging.warning('%d %s', number, 'x' * 200)\n"
        "print(time.monotonic() - begun, flush=True)\n"
        "sys.stdin.readline()\n"
        "time.sleep(0.3)\n"
        "logging.warning('again')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write, text=True
    )
    os.close(write)
    assert process.stdout is not None
    assert float(process.stdout.readline()) < 5
    with os.fdopen(read) as pipe:
        threading.Timer(0.2, process.communicate, ["go\n"]).start()
        lines = [json.loads(line)["message"] for line in pipe]
    assert process.wait(10) == 0
    assert lines[-1] == "again"
    assert re.fullmatch(_LOST, lines[-2])
    number = 0
    for line in lines[:-1]:
        if lost := re.fullmatch(_LOST, line):  # more than once where the thread got its turn between two of them
            number += int(lost[1])
        else:
            assert int(line.split()[0]) == number
            number += 1
    assert number == 5000


def test_a_wrong_log_call_does_not_end_who_made_it(capfd: pytest.CaptureFixture[str]) -> None:
    aside = Aside(2)
    aside.handle(logging.LogRecord("x", logging.ERROR, __file__, 1, "%d parts", ("many",), None))
    aside.handle(logging.LogRecord("x", logging.ERROR, __file__, 1, "%d parts", (4,), None))
    aside.flush()
    assert "4 parts" in capfd.readouterr().err


def test_a_stderr_that_does_not_wait_gets_every_line_whole() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    aside = Aside(write)
    for number in range(600):
        aside.handle(logging.LogRecord("x", logging.INFO, __file__, 1, f"{number} " + "x" * 500, None, None))
    with os.fdopen(read) as pipe:
        lines = [int(pipe.readline().split()[0]) for _ in range(600)]
    os.close(write)
    assert lines == list(range(600))


def test_a_process_ends_although_its_log_is_not_read() -> None:
    read, write = os.pipe()
    program = (
        "import logging\n"
        "from edge_inspector.runtime.logs import set_up_logging\n"
        "set_up_logging()\n"
        "for _ in range(5000): logging.warning('x' * 200)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], stderr=write, timeout=20, check=False).returncode == 0
    os.close(read)
    os.close(write)


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
