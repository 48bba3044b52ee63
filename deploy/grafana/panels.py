"""Grafana's panels for the two dashboards. Each function returns the JSON model of one panel."""

from __future__ import annotations

from typing import Any

Panel = dict[str, Any]
Query = tuple[str, str]  # PromQL, legend

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, WARN, BAD, CALM = "green", "orange", "red", "blue"
DECISIONS = {"accept": GOOD, "reject": BAD, "not_inspected": WARN}


def thresholds(*steps: tuple[float, str], first: str = GOOD) -> dict[str, Any]:
    """Each colour applies from its value on. `first` applies below the first value."""
    listed = [{"color": first, "value": None}, *({"color": color, "value": value} for value, color in steps)]
    return {"mode": "absolute", "steps": listed}


def words(**meanings: tuple[str, str]) -> list[dict[str, Any]]:
    """Texts to show instead of numbers: `_1=("ready", GOOD)`."""
    options = {
        key.removeprefix("_"): {"text": text, "color": color, "index": at}
        for at, (key, (text, color)) in enumerate(meanings.items())
    }
    return [{"type": "value", "options": options}]


UP_DOWN = words(_0=("down", BAD), _1=("up", GOOD))
YES_NO = words(_0=("no", GOOD), _1=("yes", BAD))


def stat(
    title: str, about: str, query: Query, *, unit: str = "short", width: int = 4, shows: str = "value", **options: Any
) -> Panel:
    """The last value, or the name of its series, in large letters on a coloured background."""
    panel = _panel("stat", title, about, (query,), unit=unit, width=width, height=4, **options)
    panel["options"] = {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": shows,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel


def series(
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    width: int = 12,
    stacked: bool = False,
    colors: dict[str, str] | None = None,
    **options: Any,
) -> Panel:
    """Lines over time. Thresholds are drawn as lines, too."""
    panel = _panel("timeseries", title, about, queries, unit=unit, width=width, height=8, **options)
    defaults = panel["fieldConfig"]["defaults"]
    defaults["custom"] = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if "limits" in options else "off"},
    }
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for name, color in (colors or {}).items()
    ]
    panel["options"] = {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def bars(title: str, about: str, *queries: Query, unit: str = "short", width: int = 12, **options: Any) -> Panel:
    """One bar per series, with the value in the chosen time range."""
    panel = _panel("bargauge", title, about, queries, unit=unit, width=width, height=8, **options)
    for target in panel["targets"]:
        target |= {"instant": True, "range": False}
    panel["options"] = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "showUnfilled": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel


def states(title: str, about: str, *queries: Query, width: int = 12, **options: Any) -> Panel:
    """Coloured bands that show states over time."""
    panel = _panel("state-timeline", title, about, queries, unit="short", width=width, height=7, **options)
    panel["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 70, "lineWidth": 0}
    panel["options"] = {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.8,
        "alignValue": "left",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return panel


def heat(title: str, about: str, query: str, *, unit: str, width: int = 12) -> Panel:
    """The buckets of a histogram over time."""
    panel = _panel("heatmap", title, about, ((query, "{{le}}"),), unit=unit, width=width, height=8)
    panel["targets"][0]["format"] = "heatmap"
    panel["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 32, "exponent": 0.5, "fill": "orange"},
        "yAxis": {"axisPlacement": "left", "unit": unit},
        "rowsFrame": {"layout": "auto"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    }
    return panel


def dashboard(
    uid: str, title: str, about: str, rows: dict[str, list[Panel]], *, whole_plant: bool = False
) -> dict[str, Any]:
    """The dashboard's JSON model: rows from top to bottom, their panels from left to right, wrapped at 24 units.

    Without `whole_plant` it is about one station, which is chosen at the top.
    """
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["edge-inspector"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _plant_variables() if whole_plant else _variables()},
        "annotations": {"list": [] if whole_plant else [_restarts()]},
        "links": [_other_dashboards()],
        "panels": laid_out(rows),
    }


def _panel(
    kind: str,
    title: str,
    about: str,
    queries: tuple[Query, ...],
    *,
    unit: str,
    width: int,
    height: int,
    limits: dict[str, Any] | None = None,
    mappings: list[dict[str, Any]] | None = None,
    floor: float | None = 0,
    decimals: int | None = None,
) -> Panel:
    defaults: dict[str, Any] = {
        "unit": unit,
        "mappings": mappings or [],
        "thresholds": limits or thresholds(first=CALM),
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
        "noValue": "-",
    }
    defaults |= {key: value for key, value in (("min", floor), ("decimals", decimals)) if value is not None}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(65 + at), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(queries)
        ],
        "options": {},
    }


def laid_out(rows: dict[str, list[Panel]]) -> list[Panel]:
    """The panels with their places: rows from top to bottom, wrapped at 24 units."""
    placed: list[Panel] = []
    y = 0
    for title, panels in rows.items():
        head = {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": 24, "h": 1, "x": 0, "y": y}}
        placed.append(head | {"id": len(placed) + 1, "panels": []})
        x, y, below = 0, y + 1, 0
        for panel in panels:
            size = panel["gridPos"]
            if x + size["w"] > 24:
                x, y, below = 0, y + below, 0
            placed.append({"id": len(placed) + 1, **panel, "gridPos": {**size, "x": x, "y": y}})
            x, below = x + size["w"], max(below, size["h"])
        y += below
    return placed


def _other_dashboards() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "Edge Inspector",
        "tags": ["edge-inspector"],
        "asDropdown": False,
        "icon": "dashboard",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
    }


def _plant_variables() -> list[dict[str, Any]]:
    site = _query("site", "Site", 'label_values(up{job="edge-inspector"}, site)', 0)
    return [_source(), site | {"multi": True, "includeAll": True, "allValue": ".*"}]


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variables() -> list[dict[str, Any]]:
    station = _query("station", "Station", "label_values(edge_inspector_station_info, station)", 0)
    # Only one metric has the station's name. All others have their instance.
    chosen = 'label_values(edge_inspector_station_info{station="$station"}, instance)'
    return [_source(), station, _query("instance", "Instance", chosen, 2)]


def _query(name: str, label: str, query: str, hide: int) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "hide": hide,
        "multi": False,
        "includeAll": False,
    }


def _restarts() -> dict[str, Any]:
    return {
        "name": "Starts of the daemon",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "purple",
        "expr": 'changes(process_start_time_seconds{job="edge-inspector", instance="$instance"}[1m]) > 0',
        "titleFormat": "daemon started",
    }
