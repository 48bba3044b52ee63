"""`model teach`: from marks on parts to a model, as an idle job whose state outlives it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training import needs_training
from support.verdicts import placed, verdict

from edge_inspector.cli import main
from edge_inspector.commands.model import teach
from edge_inspector.store.drawings import Drawings, DrawnOn
from edge_inspector.store.pictures import picture_stem
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.store.teaching import TeachingJob, begun_of, cancel, read_report, read_teaching, write_teaching

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve good parts and one with a drawn scratch. The process of the tests itself is not made idle."""
    monkeypatch.setattr(teach, "go_idle", lambda _: None)
    folder = tmp_path / "state"
    writer = ResultsWriter(results_path(folder))
    rng, drawings = np.random.default_rng(4), Drawings(folder)
    for seq in range(1, 14):
        utc = NOON + timedelta(seconds=seq)
        writer.add([StoredVerdict(verdict(seq, views=(placed(frame_id=seq),)), utc, "", {})], [])
        picture = (120 + rng.integers(-3, 4, (64, 96))).astype(np.uint8)
        drawn = np.zeros((64, 96), np.uint8)
        if seq == 13:
            picture[30:34, 20:60], drawn[30:34, 20:60] = 20, 1
        stem = picture_stem(utc, "cam1", seq, seq)
        drawings.hold(stem, cv2.imencode(".png", picture)[1].tobytes())
        on = DrawnOn(stem=stem, part_id=seq, part_seq=seq, camera="cam1", utc=utc, decision="ACCEPT")
        drawings.store(on, drawn, ["scratch"], by="anna", utc=utc, begun_from=0)
    writer.close()
    return folder


def test_marked_parts_become_a_model_with_a_report_of_the_worst(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_training()
    assert main(["model", "teach", str(state), "--name", "mine"]) == 0
    folder = state / "teaching"
    job, report = read_teaching(folder), read_report(folder)
    assert job is not None
    assert (job.ended, job.share, job.name) == ("done", 1.0, "mine")
    assert {key: report[key] for key in ("model", "good", "bad", "found", "rejected")} == {
        "model": "mine-1.0", "good": 12, "bad": 1, "found": 1, "rejected": 0,
    }  # fmt: skip
    assert len(report["worst"]) == 12
    assert cv2.imread(str(folder / "worst-0.jpg")) is not None
    recipe = state / "recipe.toml"
    text = 'id = 1\nname = "x"\nmodel = "mine-1.0"\nviews = ["cam1"]\npart_length_mm = 10\nmin_pitch_mm = 20\n'
    recipe.write_text(text + 'position_tolerance_mm = 1\n[picture]\nguard = "none"\n')
    capsys.readouterr()
    judge = ["judge", str(folder / "data" / "images"), "--recipe", str(recipe), "--models", str(folder)]
    assert main([*judge, "--precision", "fp32"]) == 0
    assert capsys.readouterr().out.strip().endswith("12 ACCEPT, 1 REJECT")


def test_a_job_that_fails_says_why_in_its_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(teach, "_good", full)
    assert main(["model", "teach", str(state)]) == 1
    job = read_teaching(state / "teaching")
    assert job is not None
    assert job.ended == "failed"
    assert "No space left" in job.why


@pytest.mark.usefixtures("state")
def test_without_marks_nothing_is_taught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    ResultsWriter(results_path(empty)).close()
    assert main(["model", "teach", str(empty)]) == 2
    assert "nobody has marked a part" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "x" * 65, "a\n"])
def test_a_name_that_leaves_the_folder_is_refused(state: Path, name: str) -> None:
    assert main(["model", "teach", str(state), "--name", name]) == 2
    assert not (state / "teaching").exists()


def test_quick_is_given_what_people_drew(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach.quick, "run", lambda given: seen.append((given.pictures, given.minutes, given.models)))
    seen: list[object] = []
    assert main(["model", "teach", str(state), "--method", "quick", "--minutes", "2"]) == 0
    assert seen == [(state / "teaching" / "data", 2.0, state / "teaching")]
    assert read_report(state / "teaching")["good"] == 12


def test_a_second_job_is_refused_while_one_runs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_teaching(
        state / "teaching", TeachingJob(name="first", method="good", pid=os.getpid(), begun=begun_of(os.getpid()))
    )
    assert main(["model", "teach", str(state)]) == 2
    assert "first is being taught" in capsys.readouterr().err


def test_a_job_whose_process_is_gone_is_interrupted_and_another_process_is_never_ended(tmp_path: Path) -> None:
    write_teaching(tmp_path, TeachingJob(name="x", method="good", pid=os.getpid(), begun=begun_of(os.getpid()) - 1))
    job = read_teaching(tmp_path)
    assert job is not None
    assert job.ended == "interrupted"
    assert not cancel(tmp_path), "this process has the same number, and is another one"
    for content in ("", "[]", '{"name": 1}', "[" * 100_000, '{"pid": "1"}'):
        (tmp_path / "state.json").write_text(content)
        assert read_teaching(tmp_path) is None


def test_a_job_is_cancelled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as sleeper:
        write_teaching(tmp_path, TeachingJob(name="x", method="good", pid=sleeper.pid, begun=begun_of(sleeper.pid)))
        assert cancel(tmp_path)
        assert sleeper.wait(10) < 0
    job = read_teaching(tmp_path)
    assert job is not None
    assert job.ended == "cancelled"


def test_the_job_has_the_lowest_class_and_a_limit_of_memory() -> None:
    code = (
        "import json, os, resource; from edge_inspector.runtime.realtime import go_idle; go_idle(1 << 30); "
        "print(json.dumps([os.sched_getscheduler(0), os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == [os.SCHED_IDLE, 19, 1 << 30]
