"""The content of /healthz: the state of the station, and each reason why it is not ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edge_inspector import __version__
from edge_inspector.codes import Promise, StationState
from edge_inspector.records import RolloutTold
from edge_inspector.runtime.clock import iso, utc_text
from edge_inspector.runtime.conditions import Conditions


def health(
    conditions: Conditions,
    workers: Mapping[str, bool],
    *,
    supervised: bool,
    promise: Promise = Promise.ACKNOWLEDGED,
    station: str = "",
    boot_id: int = 0,
    rollout: RolloutTold | None = None,
) -> tuple[bool, dict[str, Any]]:
    """Whether parts are inspected and verdicts sent, and the body with reasons. `workers`: whether each is alive.

    `supervised`: whether all workers on which verdicts depend are alive. It is the body's `alive`. `rollout` is in the
    body if there was one.
    """
    now, held, state = time.monotonic_ns(), conditions.reasons(), conditions.state
    body = {
        "state": state.value,
        "promise": promise.value,
        "error_code": int(conditions.error_code),
        "conditions": [f"{each.code.name.lower()} {each.subject}" for each in held],
        "reasons": [
            {
                "code": each.code.name.lower(),
                "number": int(each.code),
                "subject": each.subject,
                "why": each.why,
                "since_s": round((now - each.since_ns) / 1e9, 1),
            }
            for each in held
        ],
        "workers": dict(workers),
        "alive": supervised,
        "version": __version__,
        "station": station,
        "boot_id": boot_id,
        "utc": utc_text(now),
    }
    if rollout is not None:
        since = None if rollout.since is None else iso(rollout.since)
        body["rollout"] = asdict(rollout) | {"since": since}
    return state in (StationState.READY, StationState.DEGRADED) and supervised, body
