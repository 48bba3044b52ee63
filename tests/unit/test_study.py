"""Agreement of a station with known parts: figures against values worked out by hand, and the command's report."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_inspector.cli import main
from edge_inspector.codes import Decision
from edge_inspector.records import ChallengeRun, ChallengeSeen
from edge_inspector.store.challenges import append_challenge, stored
from edge_inspector.training.judging.agreement import Rating, agreement, wilson

A, R, N = Decision.ACCEPT, Decision.REJECT, Decision.NOT_INSPECTED


def ratings(table: dict[str, list[Decision]], who: str = "ann") -> list[Rating]:
    """Parts whose name begins with b are bad."""
    return [
        Rating(part, part.startswith("b"), decision, who, run)
        for part, said in table.items()
        for run, decision in enumerate(said)
    ]


def test_a_station_that_is_always_right_has_kappa_one_and_no_narrow_interval() -> None:
    found = agreement(ratings({"b1": [R, R], "b2": [R, R], "g1": [A, A], "g2": [A, A]}))
    assert (found.parts, found.runs, found.kappa, found.between_runs) == (4, 2, 1.0, 1.0)
    assert (found.misses.some, found.misses.of) == (0, 4)
    assert found.misses.interval == (0.0, pytest.approx(1 - 0.05**0.5)), "two bad parts, however often"
    assert found.repeatability["ann"].some == found.repeatability["ann"].of == 4


def test_rates_and_kappa_are_those_worked_out_by_hand() -> None:
    # 8 ratings: truth 4 R, 4 A. Said: R 4, A 3, N 1. Right: 2 + 2 + 1 + 0 = 5.
    found = agreement(ratings({"b1": [R, R], "b2": [R, A], "g1": [A, A], "g2": [R, N]}))
    assert (found.misses.some, found.misses.of, found.false_alarms.some) == (1, 4, 2)
    chance = (4 * 4 + 4 * 3) / 64
    assert found.kappa == pytest.approx((5 / 8 - chance) / (1 - chance))
    alike = (1 + 0 + 1 + 0) / 4
    by_luck = (4 / 8) ** 2 + (3 / 8) ** 2 + (1 / 8) ** 2
    assert found.between_runs == pytest.approx((alike - by_luck) / (1 - by_luck))
    assert (found.reproducibility.some, found.reproducibility.of) == (2, 4)
    low, high = found.kappa_95
    assert low <= found.kappa <= high


def test_a_coin_has_kappa_zero() -> None:
    found = agreement(ratings({"b1": [R, A], "g1": [R, A]}))
    assert found.kappa == 0


def test_people_who_each_repeat_themselves_need_not_agree() -> None:
    both = [*ratings({"b1": [R, R]}, "ann"), *ratings({"b1": [A, A]}, "ben")]
    found = agreement(both)
    assert [found.repeatability[who].rate for who in ("ann", "ben")] == [1.0, 1.0]
    assert found.reproducibility.rate == 0.0
    assert math.isnan(found.false_alarms.rate)


@pytest.mark.parametrize("said", [[R], [R, R]])
def test_parts_of_one_kind_alone_have_no_kappa(said: list[Decision]) -> None:
    assert math.isnan(agreement(ratings({"b1": said, "b2": said})).kappa)


def test_wilson_is_that_of_the_textbook() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 10)[0] == 0.0
    assert math.isnan(wilson(0, 0)[0])


def kept(folder: Path, hours: int, decision: Decision, who: str = "page:ann", recipe: int = 1) -> None:
    parts = tuple(
        ChallengeSeen(
            name=name, expect=expect, decision=said.name, reason="none", found=(),
            right=said.name.lower() == expect.partition(":")[0], boot_id=1, seq=1, part_seq=1,
        )
        for name, expect, said in (("master <1>", "accept", A), ("scratch 2", "reject: scratch", decision))
    )  # fmt: skip
    run = ChallengeRun(
        who=who, recipe_id=recipe, criteria="c0ffee", expected=2, begun_ns=0, ended_ns=0, parts=parts,
        why="" if decision is R else "scratch 2 must be reject, and was accept",
    )  # fmt: skip
    append_challenge(folder, stored(run, datetime(2026, 11, 30, tzinfo=UTC) + timedelta(hours=hours)))


def test_the_command_writes_the_study_as_html(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept(tmp_path, -30, A)
    kept(tmp_path, 1, R)
    kept(tmp_path, 2, A, "page:ben")
    kept(tmp_path, 3, A, recipe=2)
    report = tmp_path / "study.html"
    argv = ["study", str(tmp_path), "--recipe", "1", "--from", "2026-11-30", "--html", str(report)]
    assert main(argv) == 0
    text = report.read_text()
    assert "2 runs from" in text
    assert "1 of 2 = 0.500" in text
    assert "master &lt;1&gt;" in text
    assert "SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--html", "study.html"], "needs at least two challenges"),
        ([], "name the file for the report"),
        (["--html", "nowhere/study.html"], "is not a folder"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str], words: str
) -> None:
    kept(tmp_path, 1, R)
    monkeypatch.chdir(tmp_path)
    assert main(["study", str(tmp_path), *argv]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
