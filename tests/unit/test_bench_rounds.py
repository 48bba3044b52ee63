"""Rounds in turns, what is made of them, and the tables that say so."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plot
import pytest

from edge_inspector.errors import EdgeInspectorError
from edge_inspector.simulation import report
from edge_inspector.simulation.bench import measures
from edge_inspector.simulation.bench import realtime as bench_realtime
from edge_inspector.simulation.bench.effort import Effort
from edge_inspector.simulation.bench.measures import BENCHMARKS
from edge_inspector.simulation.bench.rounds import Figures, in_turns, over
from edge_inspector.simulation.bench.runs import LineRun, ProcessSample
from edge_inspector.simulation.bench.standing import ThreadTally, standing_figures
from edge_inspector.simulation.bench.tables import spread, table
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.options import DemoOptions
from edge_inspector.station.tables import RealtimeTable

REFUSED = "realtime.fifo_priority: not permitted: set LimitRTPRIO= in the unit, or ulimit -r"


class Machine:
    """In the place of everything that takes time: notes what line was run, and makes each round a little slower."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[DemoOptions] = []
        for module in (measures, bench_realtime):
            monkeypatch.setattr(module, "run_line", self.run_line)
            monkeypatch.setattr(module, "RawModel", lambda *_: self)
        monkeypatch.setattr(measures, "hand_over_ms", lambda: 0.4)
        monkeypatch.setattr(measures, "stand", self.stand)
        self.segmenter = self
        self.workers = 1

    def frames_per_s(self, _: float) -> float:
        return 100.0

    def run_line(self, options: DemoOptions) -> LineRun:
        if "fifo_priority" in options.realtime:
            raise EdgeInspectorError(f"the daemon ended with code 2. Its last lines:\n{REFUSED}\n1 fault found")
        self.ran.append(options)
        return whole_run(len(self.ran))

    def stand(self, options: DemoOptions, seconds: float) -> Figures:
        self.ran.append(options)
        after = {"report": ThreadTally(20.0 * seconds, 100), "web": ThreadTally(4.0 * seconds, 50)}
        return standing_figures({}, after, seconds) | {"rss_mb": 150.0, "anonymous_mb": 100.0}


def whole_run(took_ms: int) -> LineRun:
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
    whole = LineRun(line=line, report={}, samples=[], world_cores=0.1, ready_s=1.0, begun_ns=[])
    begin, end = whole.steady_ns
    samples = [
        ProcessSample(at_ns=at, cpu_s=at / 1e9, rss_mb=100.0, faults=0, threads={"segment": at / 1e9})
        for at in (begin, end)
    ]
    took = report._spread([float(took_ms)])
    counts = dict.fromkeys(("late", "unaccounted", "not_inspected", "position_bound_broken"), 0)
    told: dict[str, Any] = counts | {"parts_triggered": 20, "daemon_stop_s": 0.5}
    spreads = ("inference_ms", "added_latency_ms", "position_error_mm", "position_bound_mm")
    told |= dict.fromkeys(spreads, took) | {"stages_ms": dict.fromkeys(report.STAGES, took)}
    return LineRun(line=line, report=told, samples=samples, world_cores=0.1, ready_s=1.0, begun_ns=[begin])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_tail_is_of_as_many_values_as_it_says() -> None:
    few, many = report._spread([3.0, 1.0, 2.0]), report._spread([float(value) for value in range(2000)])
    assert few == {"n": 3, "p50": 2.0, "p99": 3.0, "p999": 3.0, "max": 3.0}
    assert many == {"n": 2000, "p50": 1000.0, "p99": 1980.0, "p999": 1998.0, "max": 1999.0}
    assert report._spread([]) == {"n": 0, "p50": None, "p99": None, "p999": None, "max": None}


def test_every_way_takes_its_turn_once_a_round() -> None:
    order: list[str] = []

    def way(name: str) -> Figures:
        order.append(name)
        return {"took": len(order)}

    found = in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, 3)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert found["a"] == {"took": 3, "rounds": [{"took": 1}, {"took": 3}, {"took": 5}]}


def test_medians_are_taken_to_the_last_figure_and_what_must_not_happen_is_the_worst() -> None:
    rounds = [{"ms": {"p50": value}, "late": late, "parts": value} for value, late in ((1.0, 0), (9.0, 1), (2.0, 0))]
    found = over(rounds)
    assert found == {"ms": {"p50": 2.0}, "late": 1, "parts": 2.0, "rounds": rounds}


def test_a_round_without_a_figure_is_not_made_good_by_the_others() -> None:
    for lost in (None, float("nan")):
        found = over([{"ms": {"p50": 1.0}}, {"ms": {"p50": lost}}, {"ms": {"p50": 2.0}}])
        assert found["ms"] == {"p50": None}
    assert spread(over([{"ms": 1.0}, {"ms": None}]), "ms") == "-"


def test_a_kind_of_thread_that_was_not_in_every_round_is_there() -> None:
    assert over([{"threads": {}}, {"threads": {"shadow": 4.0}}])["threads"] == {"shadow": 4.0}


def test_a_cell_is_the_median_and_the_least_and_most_unless_they_read_the_same() -> None:
    assert spread(over([{"ms": {"p50": value}} for value in (0.0871, 2.0, 12.34)]), "ms", "p50") == "2 (0.0871 to 12.3)"
    assert spread(over([{"fps": value} for value in (1200.2, 1200.4)]), "fps") == "1200"


@pytest.mark.parametrize(
    ("name", "turns"),
    [("latency", 3), ("growth", 3), ("position", 4), ("footprint", 1), ("standing", 1), ("realtime", 18)],
)
def test_the_ways_of_a_benchmark_are_interleaved(machine: Machine, name: str, turns: int) -> None:
    BENCHMARKS[name](Effort(repeats=2, cameras=(1, 2)))
    ran = machine.ran[2 if name == "latency" else 0 :]  # what the line can do is found out first
    assert len(ran) == 2 * turns
    assert ran[:turns] == ran[turns:]
    assert all(ran.count(options) == 2 * ran[:turns].count(options) for options in ran)


def test_each_setting_differs_from_the_station_as_shipped_by_one_key_that_exists() -> None:
    tried = bench_realtime.settings(1)
    assert tried.pop(bench_realtime.SHIPPED) == ""
    keys = [line.partition(" = ")[0] for line in tried.values()]
    assert sorted(keys) == sorted(RealtimeTable.model_fields)


def test_a_setting_that_the_machine_does_not_allow_is_told_as_refused(machine: Machine) -> None:
    found = BENCHMARKS["realtime"](Effort(repeats=2))
    assert machine.ran
    for tried in found["situations"].values():
        assert tried["fifo_priority = 10"] == {"refused": REFUSED}
        assert len(tried["lock_memory = true"]["rounds"]) == 2
    said = table("realtime", found)
    assert said.count(f"refused: {REFUSED}") == 3
    assert said.count("as shipped") == 3


def dying_with(lines: str) -> Callable[[DemoOptions], LineRun]:
    def run_line(options: DemoOptions) -> LineRun:
        if options.realtime == lines:
            raise EdgeInspectorError("the daemon ended with code -11. Its last lines:\nno realtime. here")
        return whole_run(1)

    return run_line


def test_a_setting_under_which_the_daemon_dies_is_told_as_failed_and_the_others_go_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_realtime, "run_line", dying_with("lock_memory = true"))
    found = BENCHMARKS["realtime"](Effort(repeats=1))
    assert machine.ran == []
    for tried in found["situations"].values():
        assert tried["lock_memory = true"] == {"failed": "the daemon ended with code -11"}
        assert tried["gc_freeze = false"]["added_latency_ms"]["p50"] == 1.0
    assert table("realtime", found).count("failed: the daemon ended with code -11") == 3


@pytest.mark.usefixtures("machine")
def test_a_station_as_shipped_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_realtime, "run_line", dying_with(""))
    with pytest.raises(EdgeInspectorError, match="code -11"):
        BENCHMARKS["realtime"](Effort(repeats=1))


def test_a_way_that_failed_in_one_round_is_not_made_good_by_the_others() -> None:
    assert over([{"ms": 1.0}, {"failed": "why"}]) == {"failed": "why"}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "allocations"])
def test_a_table_has_as_many_cells_in_every_row_and_the_tail_with_its_count(name: str) -> None:
    lines = table(name, BENCHMARKS[name](Effort(repeats=2, cameras=(1, 2)))).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    if name not in {"throughput", "footprint", "standing"}:
        assert "p99.9" in "".join(rows)
        assert "n, views" in rows[0] if name == "position" else "n, parts" in "".join(rows)


@pytest.mark.usefixtures("machine")
def test_every_plot_is_drawn_from_what_its_benchmark_writes(tmp_path: Path) -> None:
    for name, benchmark in BENCHMARKS.items():
        if name != "allocations":
            found = {name: benchmark(Effort(repeats=2, cameras=(1, 2)))}
            (tmp_path / f"{name}.json").write_text(json.dumps(found))
    (tmp_path / "allocations.json").write_text(
        json.dumps({"allocations": {"allocated_bytes": 9.0, "page_faults": 0.0}})
    )
    (tmp_path / "soak.json").write_text(json.dumps({"minutes": 60.0, "rss_by_turn_mb": [200.0, 201.5]}))
    plot.main(tmp_path)
    assert {file.stem for file in tmp_path.glob("*.svg")} == set(plot.PLOTS)


def test_the_models_threads_are_as_many_with_cores_of_their_own_as_without() -> None:
    cores = sorted(os.sched_getaffinity(0))
    workers = max(1, len(cores) - 1)
    assert f"model_cores = {cores[-workers:]}" in bench_realtime.settings(workers).values()
