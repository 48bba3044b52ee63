"""Writes dashboards/*.json, plant/plant.json and store/store.json. Run it after a change.

Tests compare them, and try all expressions and queries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engineers import engineers
from operators import operators
from plant import plant
from store import store

FOLDER = Path(__file__).parent


def main() -> int:
    """Write all dashboards. Those of the plant and of its database lie apart, because not every station has them."""
    boards = {
        "dashboards/operators": operators(),
        "dashboards/engineers": engineers(),
        "plant/plant": plant(),
        "store/store": store(),
    }
    for name, board in boards.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(board, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
