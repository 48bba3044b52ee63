"""`edge-inspector replay`: judge a recorded shift again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.pdf import pdf_of
from edge_inspector.records import Verdict
from edge_inspector.replay.comparing import Comparison, expectation, read_expectation, unexpected
from edge_inspector.replay.judging import Judgements, Rejudging
from edge_inspector.replay.looking import LookingAgain
from edge_inspector.replay.report import report_of, worst_cost
from edge_inspector.replay.setup import Instead, criteria_of, doubts, open_segmenter
from edge_inspector.shifts.copying import copy_shift
from edge_inspector.shifts.files import Shift
from edge_inspector.shifts.head import ShiftHead
from edge_inspector.shifts.tape import JudgeStep
from edge_inspector.store.whole_file import replace_file

_LISTED = 20
_EXPECTED = "expected.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("shift", type=Path, metavar="SHIFT", help="the folder of the shift, below STATE/shifts")
    parser.add_argument(
        "--models-dir", type=Path, metavar="DIR", help="where the shift's model is (default: where it was recorded)"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="judge with the model in this folder instead")
    parser.add_argument(
        "--recipe",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="judge by this recipe instead of the recorded one with the same id",
    )
    parser.add_argument("--limits", type=Path, metavar="FILE", help="judge by the [classes] tables of this file")
    parser.add_argument(
        "--recorded-views",
        action="store_true",
        help="do not run the model: take the defects as they were recorded. Then no model folder is needed",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write what has changed with pictures, as HTML or *.pdf"
    )
    parser.add_argument(
        "--cost", type=_cost, default=(50.0, 1.0), metavar="ESCAPE,REJECT", help="costs of mistakes (default: 50,1)"
    )
    expected = parser.add_mutually_exclusive_group()
    expected.add_argument("--expect", type=Path, metavar="FILE", help="fail if a part is not judged as this file says")
    expected.add_argument("--update-expected", type=Path, metavar="FILE", help="write that file")
    parser.add_argument(
        "--copy",
        type=Path,
        metavar="DIR",
        help="copy the shift into this new folder as a test of it, and judge nothing",
    )
    parser.add_argument("--anonymous", action="store_true", help="with --copy: leave out names, times of day and paths")
    parser.add_argument(
        "--rejudged",
        action="store_true",
        help="with --copy: write the verdicts of now into the copy. The defects stay as they were recorded",
    )
    parser.add_argument("--without-pictures", action="store_true", help="with --copy: leave out the pictures")


def run(given: argparse.Namespace) -> int:
    """Returns 1 if a verdict is not as it was, or not as expected."""
    shift = Shift(given.shift)
    if given.copy is not None:
        return _copy(shift, given)
    instead = Instead(model=given.model, recipes=given.recipe, limits=given.limits)
    if given.recorded_views and instead.differs:
        raise ConfigError([Fault("--recorded-views", "takes neither --model nor --recipe nor --limits")])
    lines = read_expectation(given.expect) if given.expect is not None else None
    found, questions = _replay(shift, instead, given.models_dir, recorded_views=given.recorded_views)
    for what in (*questions, *shift.remarks):
        print(what)
    now = [pair.now for pair in found.pairs.values() if pair.now is not None]
    try:
        if given.report is not None:
            report = report_of(shift, found, asked=_words(instead), doubts=questions, cost=given.cost)
            pdf = given.report.suffix == ".pdf"
            replace_file(given.report, pdf_of(report) if pdf else report.html().encode())
        if given.update_expected is not None:
            replace_file(given.update_expected, expectation(now))
            return 0
    except OSError as error:
        raise EdgeInspectorError(f"{error.filename}: cannot be written: {error.strerror}") from error
    if lines is not None:
        return _tell_unexpected(unexpected(lines, now))
    return _tell(found, instead, given.cost)


def _copy(shift: Shift, given: argparse.Namespace) -> int:
    count = copy_shift(
        shift,
        given.copy,
        anonymous=given.anonymous,
        pictures=not given.without_pictures,
        rejudge=_rejudged if given.rejudged else lambda _, steps: steps,
    )
    print(f"{given.copy}: {count} steps copied")
    _expect_what_was(given.copy, as_recorded=given.without_pictures)
    return 0


def _expect_what_was(folder: Path, *, as_recorded: bool) -> None:
    """Make the copy a test: a file beside it says what the copy must be judged as."""
    found, path = Comparison(), folder / _EXPECTED
    found.take(Judgements(step.verdicts, ()) for step in Shift(folder).steps())
    try:
        replace_file(path, expectation([pair.some for pair in found.pairs.values()]))
    except OSError as error:
        raise EdgeInspectorError(f"{path}: cannot be written: {error.strerror}") from error
    how = "--recorded-views " if as_recorded else ""
    print(f"as a test: edge-inspector replay {folder} {how}--expect {path}")


def _rejudged(head: ShiftHead, steps: Iterator[JudgeStep]) -> Iterator[JudgeStep]:
    return Rejudging(head).rejudged(steps)


def _replay(
    shift: Shift, instead: Instead, models_dir: Path | None, *, recorded_views: bool
) -> tuple[Comparison, list[str]]:
    found, head = Comparison(), shift.head
    began_s = time.monotonic()
    if recorded_views:
        judging, questions = Rejudging(head), []
        found.take(judging.run(shift.steps()))
    else:
        segmenter = open_segmenter(head, instead.model, models_dir)
        questions = [] if instead.model is not None else doubts(head, segmenter.info)
        recipes = criteria_of(head, segmenter.info, instead)
        looking = LookingAgain(shift, segmenter, recipes)
        judging = Rejudging(head, recipes, segmenter.info if instead.model is not None else None)
        began_s = time.monotonic()
        try:
            found.take(judging.run(looking.steps(shift.steps())))
        finally:
            segmenter.close()
        if looking.looked.without_picture:
            questions.append(f"{looking.looked.without_picture} views are as recorded: their pictures are missing")
    if judging.failed:
        questions.append("the judge failed in this shift. What follows is not replayed")
    _tell_speed(found, time.monotonic() - began_s)
    return found, questions


def _tell_speed(found: Comparison, took_s: float) -> None:
    decided = [pair.some.decided_ns for pair in found.pairs.values()]
    lasted_s = (max(decided) - min(decided)) / 1e9 if decided else 0.0
    print(
        f"{len(decided)} parts in {lasted_s:.0f} s of the line, replayed in {took_s:.1f} s: {lasted_s / took_s:.1f} x"
    )


def _tell(found: Comparison, instead: Instead, cost: tuple[float, float]) -> int:
    for pair in found.changed[:_LISTED]:
        print(f"part {pair.some.part.part_seq}: {_word(pair.then)} then, {_word(pair.now)} now")
    if len(found.changed) > _LISTED:
        print(f"... and {len(found.changed) - _LISTED} more. --report shows them with pictures")
    changed = f"{len(found.changed)} of {len(found.pairs)} decisions have changed"
    if instead.differs:
        print(f"{changed}. That costs {worst_cost(found, cost):g} at most")
        return 0
    print(f"{len(found.pairs) - len(found.unequal)} of {len(found.pairs)} verdicts are equal to the byte, {changed}")
    return 1 if found.unequal else 0


def _tell_unexpected(texts: list[str]) -> int:
    for text in texts[:_LISTED]:
        print(text)
    print(f"{len(texts)} parts are not judged as expected")
    return 1 if texts else 0


def _word(verdict: Verdict | None) -> str:
    return f"{verdict.decision.name} ({verdict.reason.label})" if verdict is not None else "no verdict"


def _words(instead: Instead) -> str:
    if not instead.differs:
        return "It was judged again by the same model, recipes and limits."
    given = [("model", instead.model), *(("recipe", path) for path in instead.recipes), ("limits", instead.limits)]
    return "It was judged again by another " + ", ".join(f"{what} ({path})" for what, path in given if path) + "."


def _cost(text: str) -> tuple[float, float]:
    try:
        escape, false_reject = (float(each) for each in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers as 50,1") from error
    if not (0 <= escape < 1e12 and 0 <= false_reject < 1e12):
        raise argparse.ArgumentTypeError("must be numbers from 0 to 1e12")
    return escape, false_reject
