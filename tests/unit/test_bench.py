"""The figures of a benchmark are held against budgets, and a run's own measures are what they say."""

from pathlib import Path

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.simulation.bench.budgets import Budget, broken, read_budgets
from edge_inspector.simulation.bench.measures import BENCHMARKS
from edge_inspector.simulation.bench.runs import LineRun, Sample
from edge_inspector.simulation.line import Line, RepeatedParts, TileParts

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
        Sample(at_ns=at, cpu_s=cpu_s, rss_mb=100.0)
        for at, cpu_s in ((begin - second, 0), (begin, 5), (begin + second, 5.5), (end + 1, 90))
    ]
    begun = [begin - 1, *range(begin, end, second // 20), end]
    run = LineRun(line=line, report={}, samples=samples, world_cores=0.0, ready_s=0.0, begun_ns=begun)
    assert run.frames_per_s == pytest.approx(20, rel=0.02)
    assert run.cores == pytest.approx(0.5)


def test_a_line_of_few_parts_repeats_them_and_their_truth() -> None:
    parts = RepeatedParts(TileParts(7, 2), 3)
    assert parts.render(4, 1) is parts.render(1, 1)
    assert (parts.render(4, 1) == TileParts(7, 2).render(1, 1)).all()
    assert [parts.defective(part) for part in range(3, 6)] == [parts.defective(part) for part in range(3)]
