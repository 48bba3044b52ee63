"""Writes dashboards/*.json. Run it after a change. A test compares them and checks all expressions with promtool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engineers import engineers
from operators import operators

FOLDER = Path(__file__).parent / "dashboards"


def main() -> int:
    """Write both dashboards."""
    for name, board in (("operators", operators()), ("engineers", engineers())):
        (FOLDER / f"{name}.json").write_text(json.dumps(board, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
