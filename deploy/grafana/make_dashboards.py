"""Writes dashboards/*.json and plant/plant.json. Run it after a change.

Tests compare them, and check all expressions with promtool.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engineers import engineers
from operators import operators
from plant import plant

FOLDER = Path(__file__).parent


def main() -> int:
    """Write all dashboards. The plant's is for another Grafana, so it lies apart."""
    boards = {"dashboards/operators": operators(), "dashboards/engineers": engineers(), "plant/plant": plant()}
    for name, board in boards.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(board, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
