"""`python helm_render.py CHART` reads cases from stdin, each a list of values, and writes what Helm makes of each.

It is a process of its own: Helm is a library in Go, whose threads stay in the process that loads it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python


def rendered(chart: helm_python.Chart, values: dict[str, Any]) -> dict[str, Any]:
    """The manifests by file, or `refused` with Helm's words."""
    try:
        chart.validate_schema(values)
        return {"manifests": chart.render(values, name="line-1", namespace="plant")}
    except helm_python.HelmError as error:
        return {"refused": str(error)}


def main() -> None:
    """Load the chart once, and render it for each case."""
    path = sys.argv[1]
    with helm_python.Chart.load(path) as chart:
        cases = json.load(sys.stdin)
        found = {
            "chart": chart.metadata,
            "lint": helm_python.lint(path, cases[0], strict=True),
            "cases": [rendered(chart, values) for values in cases],
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
