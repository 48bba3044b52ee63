"""The dashboard for the operators of the line."""

from __future__ import annotations

from typing import Any

from panels import (
    BAD,
    CALM,
    DECISIONS,
    GOOD,
    UP_DOWN,
    WARN,
    YES_NO,
    bars,
    dashboard,
    series,
    stat,
    states,
    thresholds,
    words,
)
from queries import AT, RATE, E, share


def operators() -> dict[str, Any]:
    """The dashboard for the operators of the line."""
    return dashboard(
        "edge-inspector-operators",
        "Edge Inspector: line",
        "What happens on the line now and in this shift.",
        {"Now": _now(), "Parts": _parts(), "Problems over time": _wrong()},
    )


def _now() -> list[dict[str, Any]]:
    known = {"starting": CALM, "ready": GOOD, "degraded": WARN, "off": WARN, "fault": BAD, "stopping": CALM}
    # A number for each state, because only numbers have colours. A station that does not answer shows "-".
    state = " or ".join(f'{at} * ({E}station_state{{{AT}, state="{name}"}} == 1)' for at, name in enumerate(known))
    shown = words(**{f"_{at}": (name, color) for at, (name, color) in enumerate(known.items())})
    return [
        stat("Station", "The state that is sent to the PLC.", (f"max({state})", ""), mappings=shown),
        stat(
            "Parts per minute",
            "Verdicts in the last minute.",
            (f"sum(rate({E}parts_processed_total{{{AT}}}[1m])) * 60", ""),
            limits=thresholds(first=CALM),
            decimals=0,
        ),
        stat(
            "Rejected",
            "Share of the last ten minutes' parts.",
            (share("reject", "10m"), ""),
            unit="percentunit",
            limits=thresholds((0.1, WARN), (0.3, BAD)),
            decimals=1,
        ),
        stat(
            "Not inspected",
            "Share of the last ten minutes' parts.",
            (share("not_inspected", "10m"), ""),
            unit="percentunit",
            limits=thresholds((0.001, WARN), (0.02, BAD)),
            decimals=1,
        ),
        stat(
            "Cameras down",
            "Their parts are not inspected.",
            (f"count({E}camera_up{{{AT}}} == 0) or vector(0)", ""),
            limits=thresholds((1, BAD)),
        ),
        stat(
            "Alerts",
            "Prometheus lists what is wrong. docs/runbook.md says what to do.",
            (f'count(ALERTS{{{AT}, alertstate="firing"}}) or vector(0)', ""),
            limits=thresholds((1, WARN)),
        ),
    ]


def _parts() -> list[dict[str, Any]]:
    by_decision = f"sum by (decision) (rate({E}parts_processed_total{{{AT}}}{RATE})) * 60"
    return [
        series("Verdicts per minute", "", (by_decision, "{{decision}}"), stacked=True, colors=DECISIONS, width=16),
        bars(
            "Parts in the chosen time",
            "",
            (f"sum by (decision) (increase({E}parts_processed_total{{{AT}}}[$__range]))", "{{decision}}"),
            decimals=0,
            width=8,
        ),
        bars(
            "Defects by class",
            "In the chosen time. Look first at the longest bar.",
            (
                f"sort_desc(sum by (defect_class) (increase({E}defects_found_total{{{AT}}}[$__range])))",
                "{{defect_class}}",
            ),
            decimals=0,
            width=8,
        ),
        bars(
            "Not inspected, by reason",
            "In the chosen time. The reasons are in docs/reference.md.",
            (f"sort_desc(increase({E}parts_not_inspected_total{{{AT}}}[$__range]) > 0)", "{{reason}}"),
            limits=thresholds(first=WARN),
            decimals=0,
        ),
        series(
            "Reject rate, control chart",
            "Of the latest parts. Outside the limits, the line has changed.",
            (f"{E}reject_rate{{{AT}}}", "reject rate"),
            (f"{E}reject_rate_low{{{AT}}}", "lower limit"),
            (f"{E}reject_rate_high{{{AT}}}", "upper limit"),
            unit="percentunit",
            colors={"reject rate": CALM, "lower limit": BAD, "upper limit": BAD},
        ),
        series(
            "Rejected and not inspected",
            "Share of the parts, over ten minutes each.",
            (share("reject", "10m"), "reject"),
            (share("not_inspected", "10m"), "not_inspected"),
            unit="percentunit",
            colors=DECISIONS,
        ),
    ]


def _wrong() -> list[dict[str, Any]]:
    return [
        states("Cameras", "", (f"{E}camera_up{{{AT}}}", "{{camera}}"), mappings=UP_DOWN),
        states("Links", "", (f"{E}link_up{{{AT}}}", "{{link}}"), mappings=UP_DOWN),
        states(
            "Conditions",
            "The conditions that the daemon reported.",
            (f"{E}condition_active{{{AT}}}", "{{code}} {{subject}}"),
            mappings=YES_NO,
            width=24,
        ),
    ]
