"""One daemon for a state folder, and what happens where that cannot be made sure."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.store.lock import COMMANDS, StateLock

HOLD = """
import sys, time
from pathlib import Path
from edge_inspector.store.lock import StateLock
lock = StateLock(Path(sys.argv[1]))
lock.take(patience_s=0.0)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def another(folder: Path, for_s: float = 60.0) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folder), str(for_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with another(tmp_path) as first, pytest.raises(EdgeInspectorError) as refused:
        StateLock(tmp_path).take(patience_s=0.3)
    said = str(refused.value)
    assert f"daemon.lock: another edge-inspector (pid {first.pid} on " in said
    assert said.endswith("works in this folder: stop it, or give this station a state_dir of its own")


def test_one_that_ends_meanwhile_is_waited_for(tmp_path: Path) -> None:
    with another(tmp_path, for_s=0.5):
        lock = StateLock(tmp_path)
        lock.take(patience_s=30.0)
        assert (tmp_path / "daemon.lock").read_text().startswith(f"pid {os.getpid()} on ")
        lock.release()
        lock.release()


def test_one_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with another(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        lock = StateLock(tmp_path)
        lock.take(patience_s=0.0)
        lock.release()


def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    begun = time.monotonic()
    with another(tmp_path), pytest.raises(EdgeInspectorError):
        StateLock(tmp_path).take(stop, patience_s=60.0)
    assert time.monotonic() - begun < 30.0


def test_commands_exclude_each_other_and_not_the_daemon(tmp_path: Path) -> None:
    daemon = StateLock(tmp_path)
    daemon.take()
    first = StateLock(tmp_path, COMMANDS)
    with first.held(), pytest.raises(EdgeInspectorError, match="try again when it has ended"):
        StateLock(tmp_path, COMMANDS).take(patience_s=0.0)
    with StateLock(tmp_path, COMMANDS).held():
        pass
    daemon.release()


def test_a_lock_that_was_removed_is_taken_again(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "state")
    lock._path.parent.mkdir()
    lock.take()
    assert lock.renew() == ""
    lock._path.unlink()
    lock._path.parent.rmdir()
    assert lock.renew().endswith("state/daemon.lock was removed or replaced while the station ran")
    assert lock.renew() == ""
    with pytest.raises(EdgeInspectorError):
        StateLock(tmp_path / "state").take(patience_s=0.0)
    lock.release()


def test_somebody_who_took_the_folder_over_is_named_until_he_is_gone(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.take()
    lock._path.unlink()
    with another(tmp_path) as other:
        for _ in range(2):
            assert f"another edge-inspector (pid {other.pid} on" in lock.renew()
            assert lock.renew().endswith("works in this folder too: stop one of them")
    assert "was removed or replaced" in lock.renew()
    assert lock.renew() == ""
    lock.release()


def test_a_file_system_without_locks_is_said_once_and_the_station_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_file: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = StateLock(tmp_path)
    lock.take()
    assert "cannot be locked: this file system has no locks. Nothing keeps a second daemon" in caplog.text
    assert lock.renew() == ""


def test_a_folder_that_cannot_be_written_is_told_and_locked_when_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("in the way")
    lock = StateLock(tmp_path / "state")
    lock.take()
    assert "daemon.lock cannot be locked: Not a directory" in caplog.text
    assert "cannot be locked: " in lock.renew()
    (tmp_path / "state").unlink()
    assert lock.renew() == ""
    with pytest.raises(EdgeInspectorError):
        StateLock(tmp_path / "state").take(patience_s=0.0)
    lock.release()


@pytest.mark.parametrize("text", ["", "\x1b[31mred", "\xff"])
def test_what_is_not_a_plain_name_is_not_repeated(tmp_path: Path, text: str) -> None:
    lock = StateLock(tmp_path)
    lock.take()
    (tmp_path / "daemon.lock").write_bytes(text.encode("latin-1"))
    with pytest.raises(EdgeInspectorError, match=r"its pid is not known|\ufffd"):
        StateLock(tmp_path).take(patience_s=0.0)
    lock.release()


def test_its_file_is_for_the_service_and_its_group(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with StateLock(tmp_path).held():
            assert (tmp_path / "daemon.lock").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
