"""Writes dashboards/*.json; run it after a change. A test compares, and has promtool read every expression."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engineers import engineers
from operators import operators

FOLDER = Path(__file__).parent / "dashboards"


def main() -> int:
    """Write both files."""
    for name, board in (("operators", operators()), ("engineers", engineers())):
        (FOLDER / f"{name}.json").write_text(json.dumps(board, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
