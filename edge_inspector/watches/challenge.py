"""Challenges of the station: the judge's part of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_inspector.codes import ErrorCode
from edge_inspector.inspection.challenge import Challenge, ChallengePart, ChallengeRules
from edge_inspector.records import ChallengeRun, ChallengeSeen, Part, Verdict
from edge_inspector.runtime.conditions import Conditions


@dataclass(frozen=True, slots=True)
class ChallengeRunning:
    """A challenge that runs now: what has come of it, and what must come."""

    recipe_id: int
    parts: Sequence[ChallengePart]
    seen: Sequence[ChallengeSeen]


def subject_of(recipe_id: int) -> str:
    """The subject of the conditions about this recipe's challenge."""
    return f"recipe {recipe_id}"


class Challenging:
    """Runs one challenge at a time. The judge's thread owns it. Any thread may read `running` and `last`.

    `last` is the latest result of each recipe in this run of the daemon. `keep` gets each result.
    """

    def __init__(self, rules: ChallengeRules, conditions: Conditions, keep: Callable[[ChallengeRun], object]) -> None:
        self.running: ChallengeRunning | None = None
        self.last: dict[int, ChallengeRun] = {}
        self._rules = rules
        self._conditions = conditions
        self._keep = keep
        self._challenge: Challenge | None = None

    def begin(self, *, who: str, recipe_id: int, criteria: str, now_ns: int) -> str:
        """Begin a challenge. Why that is not possible, or ""."""
        if self._challenge is not None:
            return f"a challenge runs already, and waits for {self._challenge.next.name}"
        parts = self._rules.parts.get(recipe_id)
        if not parts:
            return f"recipe {recipe_id} has no challenge parts: add them to [challenge] of the station file"
        self._challenge = Challenge(
            parts,
            who=who,
            recipe_id=recipe_id,
            criteria=criteria,
            now_ns=now_ns,
            timeout_ns=self._rules.timeout_ns,
        )
        self._show()
        return ""

    def name_of(self, part: Part) -> str:
        """The name of the challenge part that this part must be. "" if it is no challenge part."""
        challenge = self._challenge
        return challenge.next.name if challenge is not None and challenge.owns(part) else ""

    def blocks(self, part: Part) -> bool:
        """Whether this part may not be inspected."""
        if not self._rules.blocks or self.name_of(part):
            return False
        subject = subject_of(part.recipe_id)
        return self._conditions.held(ErrorCode.CHALLENGE_DUE, subject) or self._failed(part.recipe_id)

    def count(self, verdict: Verdict) -> None:
        """Take the verdict on a challenge part."""
        if self._challenge is not None and verdict.challenge:
            self._challenge.take(verdict)
            self._show()
            self.settle(verdict.decided_ns)

    def settle(self, now_ns: int, *, stopping: bool = False) -> None:
        """End the challenge if every part has come, or if one never comes."""
        run = None if self._challenge is None else self._challenge.over(now_ns, stopping=stopping)
        if run is None:
            return
        self._challenge, self.running = None, None
        self.last = {**self.last, run.recipe_id: run}
        subject = subject_of(run.recipe_id)
        if run.passed:
            self._conditions.clear(ErrorCode.CHALLENGE_FAILED, subject)
        else:
            self._conditions.set(ErrorCode.CHALLENGE_FAILED, subject, run.why)
        self._keep(run)

    def _failed(self, recipe_id: int) -> bool:
        run = self.last.get(recipe_id)
        return run is not None and not run.passed

    def _show(self) -> None:
        challenge = self._challenge
        if challenge is not None:
            self.running = ChallengeRunning(challenge.recipe_id, challenge.parts, challenge.seen)
