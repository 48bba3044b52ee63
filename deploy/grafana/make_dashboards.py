"""Writes dashboards/*.json and store/store.json. Run it after a change. Tests compare them and try all queries."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engineers import engineers
from operators import operators
from store import store

FOLDER = Path(__file__).parent


def main() -> int:
    """Write the dashboards. That of the plant's database lies apart, because not every plant has one."""
    boards = {
        "dashboards/operators": operators(),
        "dashboards/engineers": engineers(),
        "store/store": store(),
    }
    for name, board in boards.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(board, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
