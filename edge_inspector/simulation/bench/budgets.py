"""Compares figures with budgets. Each budget, in TOML, is a path to a figure and its lowest or highest value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from edge_inspector.errors import ConfigError
from edge_inspector.settings import Table
from edge_inspector.toml_file import read_toml
from edge_inspector.wording import faults_of


class Budget(Table):
    """`figure` is a path through a benchmark's result, such as `latency.loads.50%.added_latency_ms.p50`."""

    figure: Annotated[str, Field(min_length=1)]
    at_most: float | None = None
    at_least: float | None = None


def read_budgets(path: Path) -> list[Budget]:
    """The budgets in `path`. Raises ConfigError."""
    try:
        return TypeAdapter(list[Budget]).validate_python(read_toml(path).get("budget", []))
    except ValidationError as error:
        raise ConfigError(faults_of(error, f"{path}: budget.")) from error


def broken(budgets: list[Budget], results: dict[str, Any]) -> list[str]:
    """One line for each broken budget. Budgets of benchmarks that did not run are skipped."""
    lines = []
    for budget in budgets:
        if budget.figure.partition(".")[0] not in results:
            continue
        value = _at(results, budget.figure.split("."))
        if value is None:
            lines.append(f"{budget.figure}: there is no such figure")
        elif budget.at_most is not None and not value <= budget.at_most:
            lines.append(f"{budget.figure}: {value:.3g}, at most {budget.at_most:g}")
        elif budget.at_least is not None and not value >= budget.at_least:
            lines.append(f"{budget.figure}: {value:.3g}, at least {budget.at_least:g}")
    return lines


def _at(found: Any, path: list[str]) -> float | None:
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return float(found) if isinstance(found, int | float) else None
