"""What is wrong with the station right now, and the state that follows from it."""

from __future__ import annotations

import logging
import threading
import time

from edge_inspector.records import ErrorCode, StationState

log = logging.getLogger(__name__)

# Only what breaks promise 1 is a fault: with the others every part still gets its (NOT_INSPECTED) verdict.
FAULTS = frozenset(
    {ErrorCode.PLC_RING_FULL, ErrorCode.PLC_TRIGGERS_LOST, ErrorCode.VERDICT_LATE, ErrorCode.WORKER_FAILED}
)

# For people to look into; the PLC need not know, and the station stays ready.
WARNINGS = frozenset({ErrorCode.DRIFT})


class Conditions:
    """The set of (code, subject) that hold now. Any thread may set, clear and ask.

    While the daemon starts nothing is connected yet: that is news only when it is said again `patience_s` later.
    """

    def __init__(self, patience_s: float = 1.0) -> None:
        self._patience_ns = int(patience_s * 1e9)
        self._lock = threading.Lock()
        self._held: dict[tuple[ErrorCode, str], int] = {}
        self._cleared: dict[tuple[ErrorCode, str], int] = {}
        self._expected: set[tuple[ErrorCode, str]] = set()
        self._phase = StationState.STARTING
        self.resets = 0

    def phase(self, phase: StationState) -> None:
        """STARTING, READY or STOPPING: what the daemon is about, apart from what is wrong."""
        self._phase = phase

    def set(self, code: ErrorCode, subject: str, why: str = "") -> None:
        """This holds from now on."""
        key = (code, subject)
        now = time.monotonic_ns()
        with self._lock:
            first = key not in self._held
            if not first and (key not in self._expected or now - self._held[key] < self._patience_ns):
                return
            self._held.setdefault(key, now)
            expected = first and self._phase is StationState.STARTING and code not in FAULTS
            (self._expected.add if expected else self._expected.discard)(key)
        level = logging.DEBUG if expected else logging.WARNING
        log.log(level, "%s (E%d) %s: %s", code.name.lower(), code, subject, why or "begins")

    def clear(self, code: ErrorCode, subject: str) -> None:
        """This does not hold any more."""
        key = (code, subject)
        with self._lock:
            since = self._held.pop(key, None)
            if since is None:
                return
            self._cleared[key] = now = time.monotonic_ns()
            expected = key in self._expected
            self._expected.discard(key)
        if expected:
            log.info("%s is there after %.1f s", subject, (now - since) / 1e9)
        else:
            log.info("%s (E%d) %s: over after %.1f s", code.name.lower(), code, subject, (now - since) / 1e9)

    def reset(self) -> None:
        """Someone has seen to it: what was given up may be tried again. The supervisor follows `resets`."""
        self.resets += 1
        log.info("reset")

    def held(self, code: ErrorCode, subject: str, within_s: float = 0.0) -> bool:
        """Whether this holds, or held until at most `within_s` ago."""
        with self._lock:
            if (code, subject) in self._held:
                return True
            cleared = self._cleared.get((code, subject))
        return cleared is not None and time.monotonic_ns() - cleared < within_s * 1e9

    def snapshot(self) -> list[tuple[ErrorCode, str]]:
        """All that holds, the gravest first."""
        with self._lock:
            return sorted(self._held, key=lambda held: (held[0] not in FAULTS, held[0], held[1]))

    @property
    def state(self) -> StationState:
        """What the PLC and the operator are told."""
        if self._phase is not StationState.READY:
            return self._phase
        code = self.error_code
        if code is ErrorCode.NONE:
            return StationState.READY
        return StationState.FAULT if code in FAULTS else StationState.DEGRADED

    @property
    def error_code(self) -> ErrorCode:
        """The gravest condition's code; a warning is none."""
        return next((code for code, _ in self.snapshot() if code not in WARNINGS), ErrorCode.NONE)
