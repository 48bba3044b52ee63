"""Prints the score of the last `make mutation`. Exit code 1 if it is too low."""

from __future__ import annotations

import json
import sys
from pathlib import Path

REQUIRED = 0.90

stats = json.loads(Path("mutants/mutmut-cicd-stats.json").read_text())
dead = stats["killed"] + stats["timeout"] + stats.get("segfault", 0)
alive = stats["survived"] + stats["no_tests"] + stats.get("suspicious", 0)
score = dead / (dead + alive)
print(f"{dead} of {dead + alive} mutants died: {score:.1%} (at least {REQUIRED:.0%})")
sys.exit(score < REQUIRED)
