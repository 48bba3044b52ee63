"""`edge-inspector export`: which writer for which format."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from edge_inspector.history.dataset import export_dataset
from edge_inspector.history.tables import export_tables
from edge_inspector.store.results import Results

Format = Literal["csv", "parquet", "index", "coco"]


def export(results: Path, out: Path, form: Format, *, since: datetime | None, until: datetime | None) -> dict[str, int]:
    """Write what was judged in [since, until) into `out`; how much of what. Raises EdgeInspectorError."""
    if form == "csv" or form == "parquet":  # noqa: PLR1714 -- mypy narrows this form only
        return export_tables(results, out, form, since=since, until=until)
    return export_dataset(Results(results), out, form, since=since, until=until)
