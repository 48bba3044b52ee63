"""The codes: each says what it means and what to do, and drivers from outside still find them."""

import re
from pathlib import Path

import pytest
import yaml

from edge_inspector import codes, records
from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.runtime.conditions import FAULTS, WARNINGS

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def section(heading: str) -> str:
    return RUNBOOK.partition(f"### {heading}\n")[2].partition("\n##")[0]


@pytest.mark.parametrize("code", [*Decision, *Reason, *StationState, *ErrorCode], ids=repr)
def test_every_code_says_what_it_means_in_plain_words(code: Decision | Reason | StationState | ErrorCode) -> None:
    words = f"{code.meaning} {getattr(code, 'remedy', '')}"
    assert code.meaning
    assert ";" not in words
    assert set(re.findall(r"\{.*?\}", words)) <= {"{name}"}


def test_every_code_says_what_to_do_unless_there_is_nothing_to_do() -> None:
    assert [reason for reason in Reason if not reason.remedy] == [Reason.NONE, Reason.DEFECT]
    assert [code for code in ErrorCode if not code.remedy] == [ErrorCode.NONE]


def test_meanings_and_remedies_are_whole_sentences_or_the_end_of_one() -> None:
    sentence = re.compile(r"[A-Z].*\.")
    whole = [each.meaning for each in (*ErrorCode, *StationState)] + [each.remedy for each in (*ErrorCode, *Reason)]
    assert [text for text in whole if text and not sentence.fullmatch(text)] == []
    ends = [each.meaning for each in (*Decision, *Reason)]
    assert [text for text in ends if not text[0].islower() or text.endswith(".")] == []


@pytest.mark.parametrize("kind", [Decision, Reason, ErrorCode, StationState])
def test_a_value_from_the_wire_is_a_code(kind: type[Decision | Reason | ErrorCode | StationState]) -> None:
    assert [kind(code.value) for code in kind] == list(kind)


def test_drivers_from_outside_find_the_codes_among_the_records() -> None:
    for name in ("CommandName", "Decision", "ErrorCode", "Reason", "StationState"):
        assert getattr(records, name) is getattr(codes, name)


def test_the_runbook_goes_through_every_fault() -> None:
    listed = set(re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^- (`.*?):", section("StationFault"), re.MULTILINE))))
    assert listed == {code.name.lower() for code in FAULTS}


def test_the_runbook_goes_through_every_reason_not_to_inspect() -> None:
    mentioned = set(re.findall(r"`([a-z_]+)`", section("PartsNotInspected")))
    wanted = {reason.label for reason in Reason if reason.remedy} - {"inference_failed", "stopping"}
    assert wanted - mentioned == set()


def test_no_code_is_a_fault_and_a_warning() -> None:
    assert set() == FAULTS & WARNINGS


def test_an_alert_about_a_code_begins_with_the_meaning_of_the_code() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
    own = [
        (rule["annotations"]["summary"], code)
        for group in groups
        for rule in group["rules"]
        for code in re.findall(r'condition_active\{code="(\w+)"\}', rule["expr"])
    ]
    assert len(own) > 10
    for summary, code in own:
        meaning = ErrorCode[code.upper()].meaning.format(name="{{ $labels.subject }}")
        assert summary.startswith(f"{{{{ $labels.instance }}}}: {meaning}"), code
