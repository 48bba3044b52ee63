"""The figures of a benchmark are held against budgets, and a run's own measures are what they say."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.runtime.realtime import name_thread
from edge_inspector.simulation.bench import runs
from edge_inspector.simulation.bench.budgets import Budget, broken, read_budgets
from edge_inspector.simulation.bench.effort import PARTS_PER_S_MAX, Effort, offering
from edge_inspector.simulation.bench.energy import used_j
from edge_inspector.simulation.bench.interpreter import LockWatch
from edge_inspector.simulation.bench.measures import BENCHMARKS
from edge_inspector.simulation.bench.rounds import Figures, over
from edge_inspector.simulation.bench.runs import CHILDREN, LineRun, ProcessSample, sample_of
from edge_inspector.simulation.bench.standing import ThreadTally, memory_mb, standing_figures, tallies
from edge_inspector.simulation.bench.tables import THROUGHPUT, table
from edge_inspector.simulation.line import Line, RepeatedParts, TileParts, camera_offset_mm

BUDGETS = Path(__file__).parents[2] / "benchmarks" / "budgets.toml"


def test_a_figure_on_its_budget_holds_and_beyond_it_does_not() -> None:
    results = {"throughput": {"ratio": 0.9, "late": 2}}
    held = [Budget(figure="throughput.ratio", at_least=0.9), Budget(figure="throughput.late", at_most=2)]
    assert broken(held, results) == []
    beyond = [Budget(figure="throughput.ratio", at_least=0.91), Budget(figure="throughput.late", at_most=1)]
    assert broken(beyond, results) == ["throughput.ratio: 0.9, at least 0.91", "throughput.late: 2, at most 1"]


def test_a_figure_that_is_not_a_number_is_beyond_any_budget() -> None:
    nan = {"throughput": {"ratio": float("nan")}}
    assert broken([Budget(figure="throughput.ratio", at_least=0.1)], nan)
    assert broken([Budget(figure="throughput.ratio", at_most=0.1)], nan)


def test_a_budget_for_a_figure_that_is_not_there_is_broken_unless_its_benchmark_did_not_run() -> None:
    budgets = [Budget(figure="latency.p50", at_most=1)]
    assert broken(budgets, {"latency": {}}) == ["latency.p50: there is no such figure"]
    assert broken(budgets, {"growth": {}}) == []


def test_the_shipped_budgets_are_of_benchmarks_that_exist() -> None:
    budgets = read_budgets(BUDGETS)
    assert {budget.figure.partition(".")[0] for budget in budgets} <= set(BENCHMARKS)
    assert all((budget.at_most is None) != (budget.at_least is None) for budget in budgets)


def test_a_station_that_stands_and_wakes_as_often_as_before_breaks_a_budget() -> None:
    before = {"cores": 0.077, "wakeups_per_s": 498.0, "rss_mb": 134.9, "anonymous_mb": 72.5}
    said = broken(read_budgets(BUDGETS), {"standing": before})
    assert said == ["standing.wakeups_per_s: 498, at most 480"]


@pytest.mark.parametrize("text", ["[[budget]]\nfigur = 1", "budget = 3", "[[budget]\n", '[[budget]]\nfigure = ""'])
def test_a_wrong_budget_file_is_one_clear_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"budgets\.toml"):
        read_budgets(file)


def test_rates_are_those_of_the_steady_time() -> None:
    line = Line(
        seed=7,
        start_ns=0,
        speed_mm_s=1000.0,
        pitch_mm=500.0,
        part_length_mm=200.0,
        parts=20,
        lanes=2,
        gate_mm=2000.0,
        counts_per_mm=10.0,
        ripple=0.0,
    )
    begin, end = LineRun(line=line, report={}, samples=[], world_cores=0.0, ready_s=0.0, begun_ns=[]).steady_ns
    second = 1_000_000_000
    samples = [
        ProcessSample(at_ns=at, cpu_s=cpu_s, rss_mb=100.0)
        for at, cpu_s in ((begin - second, 0), (begin, 5), (begin + second, 5.5), (end + 1, 90))
    ]
    begun = [begin - 1, *range(begin, end, second // 20), end]
    run = LineRun(line=line, report={}, samples=samples, world_cores=0.0, ready_s=0.0, begun_ns=begun)
    assert run.frames_per_s == pytest.approx(20, rel=0.02)
    assert run.cores == pytest.approx(0.5)


def test_a_line_of_few_parts_repeats_them_and_their_truth() -> None:
    parts = RepeatedParts(TileParts(7, 2), 3)
    assert parts.render(4, 1) is parts.render(1, 1)
    np.testing.assert_array_equal(parts.render(4, 1), TileParts(7, 2).render(1, 1))
    assert [parts.defective(part) for part in range(3, 6)] == [parts.defective(part) for part in range(3)]


def bench_line(parts: int = 60, lanes: int = 3) -> Line:
    return Line(
        seed=7,
        start_ns=0,
        speed_mm_s=3000.0,
        pitch_mm=150.0,
        part_length_mm=120.0,
        parts=parts,
        lanes=lanes,
        gate_mm=2000.0,
        counts_per_mm=10.0,
        distinct=2,
    )


def test_prepared_pictures_and_times_are_those_of_the_line(tmp_path: Path) -> None:
    line = bench_line()
    line.prepare(tmp_path, tiles=2)
    prepared = replace(line, prepared=str(tmp_path), start_ns=5_000_000_000)
    picture = prepared.look.render(3, 2)
    assert picture is not None
    assert picture.shape == (512, 512, 3)
    assert prepared.look.defective(5) == line.look.defective(1)
    np.testing.assert_array_equal(picture[256:, :256], line.look.render(1, 0))
    for lane, part in ((0, 0), (2, 59)):
        offset_mm = camera_offset_mm(lane)
        truth_ns = replace(line, start_ns=5_000_000_000).captured_ns(part, lane, offset_mm)
        assert prepared.captured_ns(part, lane, offset_mm) == pytest.approx(truth_ns, abs=2000)


@pytest.mark.parametrize(("frames_per_s", "cameras"), [(40, 4), (436, 8), (3000, 8), (8000, 24)])
def test_a_line_offers_what_was_asked(frames_per_s: float, cameras: int) -> None:
    options = offering(frames_per_s, Effort(seconds=4.0), cameras)
    assert options.speed_mm_s / options.pitch_mm * cameras == pytest.approx(frames_per_s)
    assert options.speed_mm_s <= 12_000
    assert options.part_length_mm < options.pitch_mm
    assert options.tolerance_mm < options.pitch_mm / 2


def test_what_could_not_be_offered_is_said() -> None:
    options = offering(5000, Effort(), 1)
    assert options.speed_mm_s / options.pitch_mm == pytest.approx(PARTS_PER_S_MAX)
    figures: Figures = dict.fromkeys((*THROUGHPUT, "late", "unaccounted"), 1.0)
    figures |= {"workers": 2, "threads_ms_per_s": {}, "stages_ms": {}, "asked_frames_per_s": 5000.0}
    found = over([figures | {"offered_frames_per_s": 400.0}])
    assert "only 400 of 5000 frames/s could be offered" in table("throughput", found)
    found = over([figures | {"offered_frames_per_s": 4900.0}])
    assert "could be offered" not in table("throughput", found)


def test_the_lock_of_another_interpreter_is_seen() -> None:
    shares = []
    for program in ("while True: pass", "import time\nwhile True: time.sleep(60)"):
        with subprocess.Popen(
            [sys.executable, "-c", f"print(flush=True)\n{program}"], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.1)
            shares.append(LockWatch(process.pid).held(0.2, threading.Event()))
            process.kill()
    if shares[0] is None:
        pytest.skip("this machine lets no process read another's memory")
    assert shares == [1.0, 0.0]


def test_the_cpu_of_a_process_is_also_that_of_its_own() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = sample_of(os.getpid())
        process.kill()
    assert found is not None
    assert found.threads[CHILDREN] >= 0.29
    assert found.cpu_s >= found.threads[CHILDREN]


def test_what_a_station_takes_while_it_stands_is_counted_by_kind_of_thread() -> None:
    before = {"acquire": ThreadTally(100.0, 10), "web": ThreadTally(5.0, 4)}
    after = {"acquire": ThreadTally(140.0, 30), "web": ThreadTally(5.0, 8), "notes": ThreadTally(2.0, 1)}
    found = standing_figures(before, after, 2.0)
    assert found["threads_ms_per_s"] == {"acquire": 20.0, "notes": 1.0, "web": 0.0}
    assert found["threads_wakeups_per_s"] == {"acquire": 10.0, "web": 2.0, "notes": 0.5}
    assert (found["cores"], found["wakeups_per_s"]) == (0.021, 12.5)


def test_a_thread_that_waits_is_seen_by_the_kernels_count() -> None:
    stop = threading.Event()

    def wait_often() -> None:
        name_thread("often-1")
        while not stop.wait(0.001):
            pass

    thread = threading.Thread(target=wait_often)
    thread.start()
    while tallies(os.getpid()).get("often", ThreadTally()).waits < 20:
        time.sleep(0.01)
    stop.set()
    thread.join()
    memory = memory_mb(os.getpid())
    assert 0 < memory["anonymous_mb"] < memory["rss_mb"]


def test_energy_is_that_of_all_packages(tmp_path: Path) -> None:
    assert used_j(tmp_path) is None
    for name, microjoules in (("intel-rapl:0", 5_000_000), ("intel-rapl:1", 2_000_000), ("intel-rapl:0:0", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{microjoules}\n")
    assert used_j(tmp_path) == 7.0


@pytest.mark.parametrize(("patience_s", "asked"), [(60.0, 4), (-1.0, 1)])
def test_what_is_published_late_is_waited_for_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, asked: int
) -> None:
    monkeypatch.setattr(runs, "_SILENCE_S", 0.0)
    monkeypatch.setattr(runs, "_HISTORY_S", patience_s)
    heard = iter([10, 20, 30, 30, 99])
    runs._hear_out(lambda: next(heard))
    assert len(list(heard)) == 5 - asked
