"""The end of a run: nothing is measured before everybody has heard everything, however busy the machine is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from edge_inspector.simulation.readiness import readiness_of
from edge_inspector.simulation.recorder import Recorder
from edge_inspector.simulation.report import read_ledger

_STARTED_S = 60.0
_TOLD_S = 20.0
_LAST_WORDS_S = 10.0
_EVERY_S = 0.3
_WAITING = re.compile(r"^edge_inspector_verdicts_waiting{[^}]*} (.+)$", re.MULTILINE)


def when_told(scrape: Callable[[], str], alive: Callable[[], bool]) -> str:
    """The metrics, as soon as no verdict waits for a link: a starved station still has parts to answer.

    A station that does not answer is still starting, or has no time. It is asked again, as long as it is `alive`. One
    that was told to stop in the middle of its start answers no part.
    """
    answered, until = False, time.monotonic() + _STARTED_S
    while True:
        time.sleep(_EVERY_S)
        metrics = scrape()
        if metrics and not answered:
            answered, until = True, time.monotonic() + _TOLD_S
        waits = not metrics or any(float(each) for each in _WAITING.findall(metrics))
        if not waits or not alive() or time.monotonic() > until:
            return metrics


def await_last_words(recorder: Recorder, ledger: Path) -> None:
    """Wait until subscriber and line have heard that the station is gone. All verdicts were said before that."""
    until = time.monotonic() + _LAST_WORDS_S
    while True:
        time.sleep(_EVERY_S)
        if (recorder.state == "offline" and not _counts_on(ledger)) or time.monotonic() > until:
            return


def _counts_on(ledger: Path) -> bool:
    """Whether the line counts on the station now."""
    readiness = readiness_of(read_ledger(ledger)) if ledger.exists() else []
    return bool(readiness) and readiness[-1][1]
