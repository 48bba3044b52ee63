"""The dashboard for a whole plant, over what its Prometheus federates (deploy/prometheus/recording.yml)."""

from __future__ import annotations

from typing import Any

from panels import BAD, CALM, GOOD, WARN, bars, dashboard, series, stat, states, thresholds, words

AT = 'site=~"$site"'
URGENCY = f"instance:edge_inspector_state:urgency{{{AT}}}"
PARTS = f"instance:edge_inspector_parts_processed:rate5m{{{AT}}}"
STATES = {
    "_0": ("ready", GOOD),
    "_1": ("starting", CALM),
    "_2": ("degraded", WARN),
    "_3": ("off", WARN),
    "_4": ("fault", BAD),
    "_5": ("no answer", BAD),
}


def plant() -> dict[str, Any]:
    """The dashboard for a whole plant."""
    return dashboard(
        "edge-inspector-plant",
        "Edge Inspector: plant",
        "All stations. `edge-inspector fleet` says what to do at each of them.",
        {"Now": _now(), "Stations": _stations(), "Parts": _parts()},
        whole_plant=True,
    )


def share(decision: str) -> str:
    """The share of this decision among each station's parts of the last ten minutes."""
    metric = "instance_decision:edge_inspector_parts_processed:increase10m"
    some = f'sum by (site, instance) ({metric}{{{AT}, decision="{decision}"}})'
    return f"{some} / sum by (site, instance) ({metric}{{{AT}}})"


def named(expression: str) -> str:
    """The same with the station's own name. A station that has no name now, because it is away, is left out."""
    names = f"instance_station:edge_inspector_station:info{{{AT}}}"
    return f"({expression}) * on (site, instance) group_left (station) {names}"


def _now() -> list[dict[str, Any]]:
    return [
        stat("Stations", "That are known.", (f"count({URGENCY})", ""), limits=thresholds(first=CALM)),
        *(
            stat(title, about, (f"count({URGENCY} == {value}) or vector(0)", ""), limits=thresholds((1, colour)))
            for title, about, value, colour in (
                ("In fault", "Verdicts may be missing at the gate.", 4, BAD),
                ("No answer", "Their PLC rejects every part by itself.", 5, BAD),
                ("Off", "No part is inspected.", 3, WARN),
                ("Degraded", "Something is wrong. Every part has its verdict.", 2, WARN),
            )
        ),
        stat(
            "Parts per minute",
            "Of all stations together.",
            (f"sum({PARTS}) * 60", ""),
            limits=thresholds(first=CALM),
            decimals=0,
        ),
    ]


def _stations() -> list[dict[str, Any]]:
    return [
        states("State", "Of each station.", (URGENCY, "{{site}} {{instance}}"), mappings=words(**STATES), width=24),
        bars(
            "Conditions",
            "How many stations have each of them now.",
            (f"sort_desc(count by (code) (instance_code:edge_inspector_condition_active:max{{{AT}}}))", "{{code}}"),
            limits=thresholds(first=WARN),
            decimals=0,
        ),
        bars(
            "Alerts",
            "How many stations raise each of them. docs/runbook.md says what to do.",
            (
                f'sort_desc(count by (alertname) (ALERTS{{{AT}, job="edge-inspector", alertstate="firing"}}))',
                "{{alertname}}",
            ),
            limits=thresholds(first=BAD),
            decimals=0,
        ),
        bars(
            "Roll-outs",
            "How many stations are at each step of what was rolled out last to them.",
            (
                f"count by (package, step) (instance_rollout:edge_inspector_rollout_since_seconds:max{{{AT}}})",
                "{{package}}: {{step}}",
            ),
            limits=thresholds(first=CALM),
            decimals=0,
            width=24,
        ),
    ]


def _parts() -> list[dict[str, Any]]:
    return [
        series("Parts per minute", "By site.", (f"sum by (site) ({PARTS}) * 60", "{{site}}"), stacked=True, decimals=0),
        series(
            "Reserve",
            "What 99 of 100 verdicts have left, at the station that has least.",
            (f"min by (site) (instance:edge_inspector_reserve_seconds:p01_rate5m{{{AT}}})", "{{site}}"),
            unit="s",
            limits=thresholds((0.05, GOOD), first=BAD),
        ),
        bars(
            "Rejected",
            "Share of the last ten minutes' parts. The 20 stations with most.",
            (f"topk(20, {named(share('reject'))})", "{{site}} {{station}}"),
            unit="percentunit",
            limits=thresholds((0.1, WARN), (0.3, BAD)),
        ),
        bars(
            "Not inspected",
            "Share of the last ten minutes' parts. The 20 stations with most.",
            (f"topk(20, {named(share('not_inspected'))} > 0)", "{{site}} {{station}}"),
            unit="percentunit",
            limits=thresholds((0.001, WARN), (0.02, BAD)),
        ),
    ]
