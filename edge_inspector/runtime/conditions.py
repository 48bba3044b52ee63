"""The present faults of the station, and the state that follows from them."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from edge_inspector.codes import ErrorCode, StationState

log = logging.getLogger(__name__)

# These break promise 1. With all others every part still gets a verdict, even if it is only NOT_INSPECTED. LINE_BLIND
# and MODEL_NOT_LOADED are here because a station that inspects almost nothing must not look like one that works.
FAULTS = frozenset(
    {
        ErrorCode.PLC_LOST,
        ErrorCode.PLC_RING_FULL,
        ErrorCode.PLC_TRIGGERS_LOST,
        ErrorCode.VERDICT_LATE,
        ErrorCode.OTHER_WRITER,
        ErrorCode.PLC_NUMBERS,
        ErrorCode.LINE_BLIND,
        ErrorCode.MODEL_NOT_LOADED,
        ErrorCode.WEB_BACKWARDS,
        ErrorCode.WORKER_FAILED,
    }
)

# People should look into these. The PLC need not know of them, and the station stays ready.
WARNINGS = frozenset(
    {
        ErrorCode.DRIFT,
        ErrorCode.CRITERIA_CHANGED,
        ErrorCode.PICTURES_UNGUARDED,
        ErrorCode.RECORD_ENDED,
        ErrorCode.CAMERA_ADJUSTED,
        ErrorCode.CERTIFICATE_ENDS,
        ErrorCode.UNTRUSTED,
        ErrorCode.ROLLOUT_BACK,
        ErrorCode.ROLLOUT_REFUSED,
        ErrorCode.ROLLOUT_WAITS,
    }
)

# These are logged even during the start. At that time it is normal that links and cameras are not connected. It is not
# normal that a camera is left out, or adjusted.
_NEVER_EXPECTED = FAULTS - {ErrorCode.PLC_LOST} | {ErrorCode.CAMERA_LEFT_OUT, ErrorCode.CAMERA_ADJUSTED}
_CHANGES = 1024  # that wait for the logbook
_SAME_WORDS_NS = 60_000_000_000  # if only the numbers in a reason change, it is logged again after this time
_NUMBERS = re.compile(r"[+-]?\d+(?:[.,]\d+)*")


@dataclass(slots=True)
class Condition:
    """One present fault: the code, the subject, the latest reason, and since when (monotonic).

    `until_reset`: it stays until somebody gives RESET, even if its cause is gone.
    """

    code: ErrorCode
    subject: str
    why: str
    _: KW_ONLY
    since_ns: int
    until_reset: bool = False
    told_ns: int = 0
    told_why: str = ""


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """A condition began, or was over, at `at_ns` (monotonic)."""

    code: ErrorCode
    subject: str
    why: str
    at_ns: int
    _: KW_ONLY
    begins: bool


class Conditions:
    """The present conditions by code and subject. Any thread may set, clear and ask.

    While the daemon starts, nothing is connected yet. A condition from that time is logged only if it is set again
    `patience_s` later.
    """

    def __init__(self, patience_s: float = 1.0) -> None:
        self._patience_ns = int(patience_s * 1e9)
        self._lock = threading.Lock()
        self._held: dict[tuple[ErrorCode, str], Condition] = {}
        self._cleared: dict[tuple[ErrorCode, str], int] = {}
        self._expected: set[tuple[ErrorCode, str]] = set()
        self._changes: deque[ConditionChange] = deque(maxlen=_CHANGES)
        self._phase = StationState.STARTING
        self._vital: set[tuple[ErrorCode, str]] = set()
        self.resets = 0
        self.version = 0
        """Counts up whenever a condition begins or ends, or becomes vital."""
        self._known_worst: tuple[int, tuple[ErrorCode, str] | None] = (-1, None)

    def phase(self, phase: StationState) -> None:
        """Set the phase of the daemon: STARTING, READY or STOPPING. It is independent of conditions."""
        self._phase = phase

    def is_vital(self, code: ErrorCode, subject: str) -> None:
        """At this station the condition is a fault, because promise 1 depends on this link or camera."""
        self._vital.add((code, subject))
        self.version += 1

    def is_fault(self, code: ErrorCode, subject: str) -> bool:
        """Whether the condition breaks promise 1 at this station."""
        return code in FAULTS or (code, subject) in self._vital

    def set(self, code: ErrorCode, subject: str, why: str = "", *, until_reset: bool = False) -> None:
        """The condition holds from now on. A new reason replaces the old one and is logged."""
        key, now = (code, subject), time.monotonic_ns()
        with self._lock:
            held = self._held.get(key)
            first = held is None
            if held is None:
                held = self._held[key] = Condition(code, subject, why, since_ns=now)
                self.version += 1
            held.why, held.until_reset = why, held.until_reset or until_reset
            if not first and key in self._expected and now - held.since_ns < self._patience_ns:
                return
            if not first and key not in self._expected and not _is_news(held, now):
                return
            expected = first and self._phase is StationState.STARTING and code not in _NEVER_EXPECTED
            if not expected and (first or key in self._expected):
                self._changes.append(ConditionChange(code, subject, why, held.since_ns, begins=True))
            (self._expected.add if expected else self._expected.discard)(key)
            held.told_ns, held.told_why = now, why
        level = logging.DEBUG if expected else logging.WARNING
        log.log(level, "%s (E%d) %s: %s", code.name.lower(), code, subject, why or "begins")

    def clear(self, code: ErrorCode, subject: str) -> None:
        """The condition no longer holds. A condition with `until_reset` stays."""
        key = (code, subject)
        if key not in self._held:  # asked for every frame: no lock if there is nothing to do
            return
        with self._lock:
            held = self._held.get(key)
            if held is None or held.until_reset:
                return
            self._drop(held)

    def reset(self) -> None:
        """A person has given RESET: drop the conditions that waited for it, and try again what was given up.

        The supervisor watches `resets`.
        """
        self.resets += 1
        log.info("reset")
        with self._lock:
            for held in [held for held in self._held.values() if held.until_reset]:
                self._drop(held)

    def held(self, code: ErrorCode, subject: str, within_s: float = 0.0) -> bool:
        """Whether the condition holds, or held until at most `within_s` ago."""
        if (code, subject) in self._held:
            return True
        cleared = self._cleared.get((code, subject)) if within_s else None
        return cleared is not None and time.monotonic_ns() - cleared < within_s * 1e9

    def traces(self, codes: Collection[ErrorCode]) -> dict[tuple[ErrorCode, str], int | None]:
        """The conditions of these codes that hold (None), or that held once, and when they were cleared."""
        with self._lock:
            cleared: dict[tuple[ErrorCode, str], int | None] = {
                key: at for key, at in self._cleared.items() if key[0] in codes
            }
            return cleared | {key: None for key in self._held if key[0] in codes}

    def holds(self, code: ErrorCode) -> bool:
        """Whether the condition holds for any subject."""
        with self._lock:
            return any(held == code for held, _ in self._held)

    def snapshot(self) -> list[tuple[ErrorCode, str]]:
        """All present conditions, the most serious first."""
        return [(held.code, held.subject) for held in self.reasons()]

    def reasons(self) -> list[Condition]:
        """All present conditions with their latest reasons, the most serious first."""
        with self._lock:
            return sorted(self._held.values(), key=lambda held: (self._gravity(held), held.code, held.subject))

    def take_changes(self) -> list[ConditionChange]:
        """What began and ended since the last call, in order, however short it was.

        Conditions that are normal during the start are left out. Of very many changes the oldest are dropped.
        """
        with self._lock:
            taken = list(self._changes)
            self._changes.clear()
        return taken

    @property
    def state(self) -> StationState:
        """The state that the PLC and the operator get."""
        if self._phase is not StationState.READY:
            return self._phase
        worst = self._worst
        if worst is None:
            return StationState.READY
        if worst[0] is ErrorCode.SWITCHED_OFF:
            return StationState.OFF
        return StationState.FAULT if self.is_fault(*worst) else StationState.DEGRADED

    @property
    def error_code(self) -> ErrorCode:
        """The code of the most serious condition. Warnings do not count."""
        worst = self._worst
        return ErrorCode.NONE if worst is None else worst[0]

    @property
    def _worst(self) -> tuple[ErrorCode, str] | None:
        if not self._held:
            return None
        version, worst = self._known_worst
        if version != self.version:  # each link asks for it in each exchange
            version = self.version
            worst = next((held for held in self.snapshot() if held[0] not in WARNINGS), None)
            self._known_worst = version, worst
        return worst

    def _gravity(self, held: Condition) -> int:
        if self.is_fault(held.code, held.subject):
            return 0
        return 1 if held.code is ErrorCode.SWITCHED_OFF else 2

    def _drop(self, held: Condition) -> None:
        key = (held.code, held.subject)
        del self._held[key]
        self.version += 1
        self._cleared[key] = now = time.monotonic_ns()
        lasted_s = (now - held.since_ns) / 1e9
        if key in self._expected:
            self._expected.discard(key)
            log.info("%s is ready after %.1f s", held.subject, lasted_s)
        else:
            self._changes.append(ConditionChange(held.code, held.subject, held.why, now, begins=False))
            log.info("%s (E%d) %s: over after %.1f s", held.code.name.lower(), held.code, held.subject, lasted_s)


def _is_news(held: Condition, now: int) -> bool:
    """Whether the reason differs from the one logged last. If only numbers differ, it is news once a minute."""
    if held.why == held.told_why or not held.why:
        return False
    same_words = _NUMBERS.sub("#", held.why) == _NUMBERS.sub("#", held.told_why)
    return not same_words or now - held.told_ns >= _SAME_WORDS_NS
