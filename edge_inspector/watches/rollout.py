"""Whether what is on trial does well enough: pure, without a clock or a file."""

from __future__ import annotations

from dataclasses import dataclass

from edge_inspector.store.ledger import Bounds, RolloutStep, Trial, TrialCounts

_FAILURES_MOST = 3


@dataclass(frozen=True, slots=True)
class TrialFinding:
    """What the figures say. `breach` is why it must go back, empty if it need not."""

    passed: bool = False
    breach: str = ""


def finding(trial: Trial) -> TrialFinding:
    """What the counts of a trial say in its present step.

    A limit counts for the whole watch from its first picture or part on: it is broken as soon as the rest of the watch
    cannot mend it. So a very bad model goes back early, and one bad picture is never enough.
    """
    counts, bounds = trial.counts, trial.bounds
    if trial.step not in {RolloutStep.SHADOW, RolloutStep.JUDGES}:
        return TrialFinding()
    judges = trial.step is RolloutStep.JUDGES
    if breach := (_disagrees(counts, bounds, judges=judges) if bounds.pictures else "") or (
        _rejects(counts, bounds, trial.rate_before) if judges else ""
    ):
        return TrialFinding(breach=breach)
    if judges:
        return TrialFinding(passed=counts.parts >= bounds.parts)
    found = counts.rejected + counts.missed
    return TrialFinding(passed=_pictures(counts) >= bounds.pictures and found >= bounds.found_pictures)


def _disagrees(counts: TrialCounts, bounds: Bounds, *, judges: bool) -> str:
    # Once the new model judges, the former one looks on, and the two have changed places.
    missed, more = (counts.more, counts.missed) if judges else (counts.missed, counts.more)
    seen, found = _pictures(counts), counts.rejected + missed
    differ = missed + more
    if counts.failed >= _FAILURES_MOST:
        return f"the shadow model failed on {counts.failed} pictures"
    if _exceeds(differ, 1 - bounds.agreement_min, max(seen, bounds.pictures)):
        return f"the models disagree on {differ} of {seen} pictures, and must agree on {_percent(bounds.agreement_min)}"
    if _exceeds(missed, 1 - bounds.found_min, max(found, bounds.found_pictures)):
        return (
            f"the new model accepts {missed} of {found} pictures that the former one rejects, and must reject "
            f"{_percent(bounds.found_min)} of them"
        )
    return ""


def _rejects(counts: TrialCounts, bounds: Bounds, rate_before: float) -> str:
    most = rate_before + bounds.reject_rise_max
    if not _exceeds(counts.not_accepted, most, max(counts.parts, bounds.parts)):
        return ""
    return (
        f"{counts.not_accepted} of {counts.parts} parts were not accepted. Before it were {_percent(rate_before)}, "
        f"and {_percent(most)} are allowed"
    )


def _exceeds(count: int, share: float, of: int) -> bool:
    """Whether it is more than this share, although 1 - 0.8 is a little less than 0.2."""
    return count > share * of + 1e-6


def _pictures(counts: TrialCounts) -> int:
    return counts.accepted + counts.rejected + counts.missed + counts.more


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
