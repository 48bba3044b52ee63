"""The energy that the machine has used, where its counters can be read."""

from __future__ import annotations

from pathlib import Path

_COUNTERS = Path("/sys/class/powercap")


def used_j(folder: Path = _COUNTERS) -> float | None:
    """Joules of all processor packages since they were switched on. None on most virtual machines, and without rights.

    The counters wrap after minutes to hours, so a difference may rarely be wrong.
    """
    try:
        packages = [each for each in folder.glob("intel-rapl:*") if each.name.count(":") == 1]
        found = [int((each / "energy_uj").read_text()) for each in packages]
    except (OSError, ValueError):
        return None
    return sum(found) / 1e6 if found else None
