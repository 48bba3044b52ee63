"""Challenge parts: parts of which it is known what the station must find, and what it said of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge_inspector.codes import Decision
from edge_inspector.records import ChallengeRun, ChallengeSeen, Part, Verdict
from edge_inspector.settings import Table


class ChallengePart(Table):
    """A part that a person keeps at the line, and what the station must find on it."""

    recipe: Annotated[int, Field(ge=1, le=65535)]
    """Id of the recipe that must judge it."""
    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name that is written on the part."""
    expect: Literal["accept", "reject"]
    """What the station must decide."""
    finds: Annotated[list[str], Field(max_length=32)] = []
    """Defect classes that must be found on it. Empty: any defect will do. Only with `expect = "reject"`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.finds and self.expect == "accept":
            raise ValueError("finds belongs to a part that must be rejected")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRules:
    """What a station is challenged with: the parts of each recipe, in the order of the belt.

    `blocks`: no part is inspected while a challenge is due or the last one failed. `by_plc`: the PLC may begin one.
    """

    parts: Mapping[int, tuple[ChallengePart, ...]]
    timeout_ns: int
    blocks: bool = False
    by_plc: bool = False


NO_CHALLENGE = ChallengeRules(parts={}, timeout_ns=1)


class Challenge:
    """One challenge while it runs. Its parts come in the order in which the station file names them.

    A part belongs to it if it was announced after the begin. Each part must be decided `timeout_ns` after the one
    before it. `who` began it.
    """

    def __init__(
        self, parts: Sequence[ChallengePart], *, who: str, recipe_id: int, criteria: str, now_ns: int, timeout_ns: int
    ) -> None:
        self.parts = tuple(parts)
        self.seen: tuple[ChallengeSeen, ...] = ()
        self.recipe_id = recipe_id
        self._who = who
        self._criteria = criteria
        self._begun_ns = self._last_ns = now_ns
        self._timeout_ns = timeout_ns

    @property
    def next(self) -> ChallengePart:
        """The part that comes next, or the last one."""
        return self.parts[min(len(self.seen), len(self.parts) - 1)]

    def owns(self, part: Part) -> bool:
        """Whether this is a challenge part, and no part of the product."""
        return part.announced_ns > self._begun_ns and len(self.seen) < len(self.parts)

    def take(self, verdict: Verdict) -> None:
        """Take the verdict on the next part."""
        wanted = self.next
        found = tuple(sorted({defect.defect_class for defect in verdict.defects}))
        right = verdict.recipe_id == self.recipe_id and agrees(wanted, verdict.decision.name, found)
        seen = ChallengeSeen(
            name=wanted.name,
            expect=_expected(wanted),
            decision=verdict.decision.name,
            reason=verdict.reason.label,
            found=found,
            right=right,
            boot_id=verdict.boot_id,
            seq=verdict.seq,
            part_seq=verdict.part.part_seq,
        )
        self.seen = (*self.seen, seen)
        self._last_ns = max(self._last_ns, verdict.decided_ns)

    def over(self, now_ns: int, *, stopping: bool = False) -> ChallengeRun | None:
        """The result, as soon as there is one."""
        missing = len(self.parts) - len(self.seen)
        if missing and not stopping and now_ns - self._last_ns < self._timeout_ns:
            return None
        wrong = [_told(each) for each in self.seen if not each.right]
        if missing:
            cause = "the station stopped" if stopping else f"it did not come within {self._timeout_ns / 1e9:g} s"
            wrong.append(f"{self.next.name} is missing: {cause}")
        return ChallengeRun(
            who=self._who,
            recipe_id=self.recipe_id,
            criteria=self._criteria,
            expected=len(self.parts),
            begun_ns=self._begun_ns,
            ended_ns=now_ns,
            parts=self.seen,
            why="; ".join(wrong),
        )


def agrees(wanted: ChallengePart, decision: str, found: Collection[str]) -> bool:
    """Whether the station said of a challenge part what it must. `found` are the classes of its defects."""
    return decision.lower() == wanted.expect and set(wanted.finds) <= set(found)


def _expected(part: ChallengePart) -> str:
    return f"{part.expect}: {', '.join(part.finds)}" if part.finds else part.expect


def _told(seen: ChallengeSeen) -> str:
    said = seen.decision.lower().replace("_", " ")
    if seen.decision == Decision.NOT_INSPECTED.name:
        said += f" ({seen.reason})"
    elif seen.found:
        said += f" ({', '.join(seen.found)})"
    return f"{seen.name} must be {seen.expect}, and was {said}"
