"""The dashboard over the plant's database: yield, defects and escapes of all stations, in SQL."""

from __future__ import annotations

from typing import Any

from panels import BAD, CALM, GOOD, WARN, Panel, laid_out, thresholds

SOURCE = {"type": "grafana-postgresql-datasource", "uid": "edge-inspector-store"}
E = "edge_inspector."
# Grafana writes a variable of several values as a list of texts in quotes.
CHOSEN = "station IN ($station) AND product IN ($product) AND $__timeFilter(at)"


def store() -> dict[str, Any]:
    """The dashboard over the plant's database."""
    return {
        "uid": "edge-inspector-store",
        "title": "Edge Inspector: plant",
        "description": "What all stations found, from the plant's database (docs/how-to/store.md).",
        "tags": ["edge-inspector"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_variable("station", "Station", "name", "stations"), _products()]},
        "annotations": {"list": []},
        "links": [],
        "panels": laid_out(
            {"Yield": _yield(), "Defects": _defects(), "Escapes found later": _escapes(), "Stations": _senders()}
        ),
    }


def _yield() -> list[Panel]:
    judged = f"FROM {E}judged WHERE {CHOSEN}"
    share = "count(*) FILTER (WHERE decision = '{}')::double precision / nullif(count(*), 0)"
    return [
        _stat("Parts", "Parts that were judged.", f"SELECT count(*) AS parts {judged}", unit="short"),
        _stat("Yield", "Share of accepted parts.", f"SELECT {share.format('ACCEPT')} AS yield {judged}"),
        _stat("Not inspected", "Share of all parts.", f"SELECT {share.format('NOT_INSPECTED')} AS share {judged}"),
        _over_time(
            "Yield by product",
            "Share of accepted parts.",
            f"SELECT $__timeGroupAlias(at, $__interval), product AS metric, {share.format('ACCEPT')} AS yield"
            f" {judged} GROUP BY 1, 2 ORDER BY 1",
        ),
        _table(
            "Yield by product and station",
            "In the chosen time.",
            f"SELECT product, station, count(*) AS parts, {share.format('ACCEPT')} AS yield {judged}"
            " GROUP BY 1, 2 ORDER BY 4",
        ),
    ]


def _defects() -> list[Panel]:
    found = f"FROM {E}judged JOIN {E}defects USING (station_id, boot_id, seq) WHERE {CHOSEN}"
    parts = "count(DISTINCT (boot_id, seq)) AS parts"
    return [
        _bars(
            "Parts by class of defect",
            "The worst first.",
            f"SELECT defect_class, {parts} {found} GROUP BY 1 ORDER BY 2 DESC",
        ),
        _bars("Parts by station", "With a defect.", f"SELECT station, {parts} {found} GROUP BY 1 ORDER BY 2 DESC"),
    ]


def _escapes() -> list[Panel]:
    escaped = f"FROM {E}escapes WHERE {CHOSEN}"
    return [
        _stat(
            "Escapes",
            "Accepted parts that a person later called defective.",
            f"SELECT count(DISTINCT (station, boot_id, seq)) AS escapes {escaped}",
            unit="short",
        ),
        _table(
            "Escapes",
            "The newest first. `found` is when a person said so.",
            f"SELECT at, station, product, part_seq, camera, defect_class, person, found {escaped}"
            " ORDER BY at DESC LIMIT 200",
            width=20,
        ),
    ]


def _senders() -> list[Panel]:
    return [
        _table(
            "Stations",
            "`waiting` parts are still at the station. `lost` ones were deleted there before they could be sent.",
            f"SELECT station, seen, waiting, lost, round(clock_ahead_s) AS clock_ahead_s FROM {E}senders"  # noqa: S608 -- of constants
            " ORDER BY seen",
            width=24,
        )
    ]


def _stat(title: str, about: str, query: str, unit: str = "percentunit") -> Panel:
    panel = _panel("stat", title, about, query, unit=unit, width=4, height=4)
    panel["options"] = {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
    }
    return panel


def _over_time(title: str, about: str, query: str) -> Panel:
    panel = _panel("timeseries", title, about, query, unit="percentunit", width=12, height=8)
    panel["targets"][0]["format"] = "time_series"
    panel["fieldConfig"]["defaults"]["color"] = {"mode": "palette-classic"}
    return panel


def _bars(title: str, about: str, query: str) -> Panel:
    panel = _panel("barchart", title, about, query, unit="short", width=12, height=8)
    panel["options"] = {"orientation": "horizontal", "legend": {"showLegend": False}}
    return panel


def _table(title: str, about: str, query: str, width: int = 12) -> Panel:
    panel = _panel("table", title, about, query, unit="none", width=width, height=8)
    panel["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": "yield"}, "properties": [{"id": "unit", "value": "percentunit"}]}
    ]
    return panel


def _panel(kind: str, title: str, about: str, query: str, *, unit: str, width: int, height: int) -> Panel:
    limits = thresholds((0.9, WARN), (0.97, GOOD), first=BAD) if title == "Yield" else thresholds(first=CALM)
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": limits, "color": {"mode": "thresholds"}, "noValue": "-"},
            "overrides": [],
        },
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "rawQuery": True,
                "editorMode": "code",
                "format": "table",
                "rawSql": query,
            }
        ],
        "options": {},
    }


def _products() -> dict[str, Any]:
    return _variable("product", "Product", "DISTINCT product", "judged")


def _variable(name: str, label: str, column: str, table: str) -> dict[str, Any]:
    query = f"SELECT {column} FROM {E}{table} ORDER BY 1"  # noqa: S608 -- of constants
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
