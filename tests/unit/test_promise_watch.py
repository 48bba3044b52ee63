"""The watch on a promise: it accuses limits only if people said so, and forgets when they keep it again."""

from pathlib import Path

import pytest
from support.verdicts import BOOT, verdict

from edge_inspector import metrics
from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.records import Verdict
from edge_inspector.runtime.clock import moment
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.promises import KeptPromise, keep_promise, kept_promise
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.watches.promise import SUBJECT, PromiseWatch

HASH = "0badf00d"


def promised(state_dir: Path, false_rejects: float = 0.02) -> None:
    keep_promise(state_dir, HASH, false_rejects=false_rejects, confidence=0.95, parts=200, utc=moment().utc)


def judged(watch: PromiseWatch, state_dir: Path, *, rejected: int, of: int) -> list[Verdict]:
    """Store so many parts, the rejected ones first, and show them to the watch."""
    parts = [verdict(seq, Decision.REJECT if seq <= rejected else Decision.ACCEPT) for seq in range(1, of + 1)]
    writer = ResultsWriter(results_path(state_dir))
    writer.add([StoredVerdict(each, moment().utc, "", {}) for each in parts], [])
    writer.close()
    for each in parts:
        watch.add(each)
    return parts


def call(state_dir: Path, label: str, parts: list[Verdict]) -> None:
    results = Results(results_path(state_dir))
    numbers = results.numbers(BOOT, [each.seq for each in parts])
    for number in numbers.values():
        results.label(number, "", label=label, defect_class="", user="eva", utc=moment().utc)  # type: ignore[arg-type]


def told(conditions: Conditions) -> str:
    return next(
        (each.why for each in conditions.reasons() if each.code is ErrorCode.DRIFT and each.subject == SUBJECT), ""
    )


def test_a_broken_promise_is_told_as_soon_as_people_have_looked_and_ends(tmp_path: Path) -> None:
    conditions = Conditions()
    watch = PromiseWatch(tmp_path, conditions)
    promised(tmp_path)
    parts = judged(watch, tmp_path, rejected=60, of=600)
    watch.look(0.0)
    assert told(conditions) == "", "rejected parts may be bad"
    call(tmp_path, "good", parts[:15])
    call(tmp_path, "unsure", parts[15:20])
    watch.look(1.0)
    assert told(conditions) == "", "it looks twice a minute"
    watch.look(31.0)
    assert told(conditions).startswith("10.0% of the last 600 parts, promised were 2.0%: of 15 rejected parts")
    assert metrics.false_rejects_realised._value.get() == pytest.approx(0.1)
    assert metrics.false_rejects_promised._value.get() == 0.02
    call(tmp_path, "defect", parts[:14])
    call(tmp_path, "defect", parts[20:])
    watch.look(62.0)
    assert told(conditions) == ""


def test_rejects_that_are_bad_break_no_promise(tmp_path: Path) -> None:
    conditions = Conditions()
    watch = PromiseWatch(tmp_path, conditions)
    promised(tmp_path)
    call(tmp_path, "defect", judged(watch, tmp_path, rejected=60, of=300)[:60])
    watch.look(0.0)
    assert told(conditions) == ""


def test_other_limits_are_not_held_to_it_and_end_the_warning(tmp_path: Path) -> None:
    conditions = Conditions()
    watch = PromiseWatch(tmp_path, conditions)
    promised(tmp_path)
    call(tmp_path, "good", judged(watch, tmp_path, rejected=60, of=600)[:30])
    watch.look(0.0)
    assert told(conditions)
    watch.add(verdict(601, Decision.REJECT, recipe_hash="ffffffff"))
    watch.add(verdict(602, Decision.NOT_INSPECTED, recipe_hash="ffffffff"))
    watch.look(31.0)
    assert told(conditions) == ""


def test_results_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    conditions = Conditions()
    watch = PromiseWatch(tmp_path, conditions)
    promised(tmp_path)
    watch.add(verdict(1, Decision.REJECT))
    watch.look(0.0)
    assert told(conditions) == ""


@pytest.mark.parametrize(
    "content",
    [
        "[]", "garbage", f'{{"{HASH}": 7}}', f'{{"{HASH}": {{}}}}',
        f'{{"{HASH}": {{"false_rejects": 2.0, "confidence": 0.95, "parts": 200, "utc": ""}}}}',
        f'{{"{HASH}": {{"false_rejects": "0.1", "confidence": 0.95, "parts": 200, "utc": ""}}}}',
        f'{{"{HASH}": {{"false_rejects": 0.1, "confidence": 0.95, "parts": "200", "utc": ""}}}}',
    ],
)  # fmt: skip
def test_a_damaged_file_promises_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "promises.json").write_text(content)
    assert kept_promise(tmp_path, HASH) is None


def test_the_newest_promises_are_kept(tmp_path: Path) -> None:
    for number in range(103):
        keep_promise(tmp_path, f"{number:08x}", false_rejects=0.01, confidence=0.9, parts=number + 1, utc=moment().utc)
    assert kept_promise(tmp_path, "00000002") is None
    kept = kept_promise(tmp_path, "00000066")
    assert isinstance(kept, KeptPromise)
    assert (kept.false_rejects, kept.confidence, kept.parts) == (0.01, 0.9, 103)
