"""What a replay found: which parts are judged as they were, and which otherwise."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_inspector.codes import Decision
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.records import Verdict
from edge_inspector.replay.judging import Judgements
from edge_inspector.shifts.coding import as_json

_KEYS: Final = {"part", "decision", "reason", "defects"}

Key = tuple[int, int, int]
"""The PLC's boot id, the run of its numbering, and the number of the part."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The verdict on one part then and now. One of them is None if the part had none."""

    then: Verdict | None
    now: Verdict | None

    @property
    def equal(self) -> bool:
        """Whether both are the same to the byte."""
        return text_of(self.then) == text_of(self.now)

    @property
    def changed(self) -> bool:
        """Whether the decision is another one."""
        return _decision(self.then) is not _decision(self.now)

    @property
    def some(self) -> Verdict:
        """The verdict of now, or that of then."""
        found = self.now or self.then
        if found is None:
            raise ValueError("a pair without a verdict")
        return found


@dataclass(slots=True)
class Comparison:
    """All parts of a shift, in the order of their verdicts."""

    pairs: dict[Key, Pair] = field(default_factory=dict)

    def take(self, judged: Iterable[Judgements]) -> None:
        """Add the verdicts of a replay."""
        for step in judged:
            for then in step.then:
                known = self.pairs.get(_key(then))
                self.pairs[_key(then)] = Pair(then, known.now if known else None)
            for now in step.now:
                known = self.pairs.get(_key(now))
                self.pairs[_key(now)] = Pair(known.then if known else None, now)

    @property
    def changed(self) -> list[Pair]:
        """The parts that have another decision now."""
        return [pair for pair in self.pairs.values() if pair.changed]

    @property
    def unequal(self) -> list[Pair]:
        """The parts whose verdicts differ in any byte."""
        return [pair for pair in self.pairs.values() if not pair.equal]

    @property
    def moves(self) -> dict[tuple[str, str], int]:
        """How many parts went from one decision to another."""
        return dict(Counter((word(pair.then), word(pair.now)) for pair in self.changed))


def text_of(verdict: Verdict | None) -> str:
    """A verdict as one line of text. The same verdict has always the same text."""
    return json.dumps(as_json(verdict), separators=(",", ":"), ensure_ascii=False)


def word(verdict: Verdict | None) -> str:
    """The decision as a word, or "none"."""
    return verdict.decision.name if verdict is not None else "none"


def _decision(verdict: Verdict | None) -> Decision | None:
    return verdict.decision if verdict is not None else None


def _key(verdict: Verdict) -> Key:
    return (*verdict.part.run_key, verdict.part.part_seq)


def expectation(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a file to compare with later, one line for each. Times are left out, and so are sizes."""
    return "".join(json.dumps(_expected(each)) + "\n" for each in verdicts)


def read_expectation(path: Path) -> list[dict[str, Any]]:
    """The lines of such a file. Raises ConfigError."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(path), f"is no file that --update-expected wrote: {error}")]) from error
    if not all(map(_is_expectation, lines)):
        raise ConfigError([Fault(str(path), "is no file that --update-expected wrote")])
    return lines


def _is_expectation(line: object) -> bool:
    if not isinstance(line, dict) or line.keys() != _KEYS or not isinstance(line["defects"], dict):
        return False
    return isinstance(line["decision"], str) and isinstance(line["reason"], str)


def unexpected(lines: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> list[str]:
    """One text for each part that is not judged as the file says."""
    found = {json.dumps(line["part"]): line for line in map(_expected, verdicts)}
    wanted = {json.dumps(line["part"]): line for line in lines}
    return [
        f"part {key}: {_told(wanted.get(key))} is expected, and it is {_told(found.get(key))}"
        for key in {**wanted, **found}
        if wanted.get(key) != found.get(key)
    ]


def _expected(verdict: Verdict) -> dict[str, Any]:
    return {
        "part": list(_key(verdict)),
        "decision": verdict.decision.name,
        "reason": verdict.reason.name,
        "defects": dict(sorted(Counter(each.defect_class for each in verdict.defects).items())),
    }


def _told(line: Mapping[str, Any] | None) -> str:
    if line is None:
        return "no verdict"
    defects = ", ".join(f"{count} {name}" for name, count in line["defects"].items())
    return f"{line['decision']} ({line['reason'].lower()}{defects and ': '}{defects})"
