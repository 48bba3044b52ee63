"""The rounds as a table: medians, and the range over the rounds in brackets."""

from __future__ import annotations

import statistics
from typing import Any

_ROWS = {
    "frames per second, offered twice what the model can do": "overload.frames_per_s",
    "share judged at 4 x 2 frames per second": "paced.judged",
    "capture to sink p50, ms": "paced.latency_ms.p50",
    "capture to sink p99, ms": "paced.latency_ms.p99",
    "stamp error p50, ms": "paced.stamp_error_ms.p50",
    "stamp error p99, ms": "paced.stamp_error_ms.p99",
    "frames lost under overload": "overload.lost",
    "of those reported": "overload.lost_reported",
    "camera back until result, s": "paced.recovery_s",
    "CPU of a frame at 4 x 2 frames per second, ms": "paced.cpu_ms_per_frame",
    "CPU of a frame under overload, ms": "overload.cpu_ms_per_frame",
    "resident memory, MiB": "paced.rss_mb",
    "start to first result, s": "paced.start_s",
    "CPU until then, s": "paced.start_cpu_s",
    "SIGTERM to end, s": "paced.stop_s",
}


def table(rounds: list[dict[str, Any]]) -> str:
    """The table in Markdown. A dash if there is no such figure."""
    names = list(rounds[0]["products"])
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for title, path in _ROWS.items():
        cells = [_cell([_at(found["products"][name], path.split(".")) for found in rounds]) for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[Any]) -> str:
    numbers = sorted(value for value in values if value is not None)
    if not numbers:
        return "-"
    middle, low, high = (f"{value:.3g}" for value in (statistics.median(numbers), numbers[0], numbers[-1]))
    return f"{middle} [{low} .. {high}]"


def _at(found: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found
