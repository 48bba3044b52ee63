"""The dashboard for engineers: whether the promises are kept, and with what reserve."""

from __future__ import annotations

from typing import Any

from panels import BAD, CALM, GOOD, WARN, YES_NO, dashboard, heat, series, stat, thresholds
from queries import AT, RATE, E, quantile, spread

_LOW = ((0.01, "1 %"), (0.5, "middle"))


def engineers() -> dict[str, Any]:
    """The dashboard for the people who maintain the station."""
    return dashboard(
        "edge-inspector-engineers",
        "Edge Inspector: station",
        "Whether the promises are kept, and how much time is left.",
        {
            "Promises": _promises(),
            "Time": _time(),
            "Frames and model": _frames(),
            "Pictures and drift": _pictures(),
            "Position": _position(),
            "Links": _links(),
            "Archive and shadow model": _archive(),
            "Box": _box(),
        },
    )


def _promises() -> list[dict[str, Any]]:
    open_parts = (
        f"sum({E}parts_triggered_total{{{AT}}}) - sum({E}parts_processed_total{{{AT}}}) - sum({E}parts_open{{{AT}}})"
    )
    broken = thresholds((1, BAD))
    return [
        stat(
            "Verdicts late",
            "Verdicts delivered when the part may have been at the gate, in the chosen time.",
            (f"sum(increase({E}verdicts_late_total{{{AT}}}[$__range]))", ""),
            limits=broken,
            decimals=0,
        ),
        stat(
            "Verdicts lost",
            "Verdicts dropped because a link accepted none for too long, in the chosen time.",
            (f"sum(increase({E}verdicts_lost_total{{{AT}}}[$__range]))", ""),
            limits=broken,
            decimals=0,
        ),
        stat(
            "Parts without a verdict",
            "Parts that were announced, are no longer on the belt, and got no verdict.",
            (open_parts, ""),
            limits=broken,
        ),
        stat(
            "Least reserve",
            "1 in 100 verdicts of the last five minutes had less time left before its part could be at the gate.",
            (f"min(histogram_quantile(0.01, rate({E}reserve_seconds_bucket{{{AT}}}[5m])))", ""),
            unit="s",
            limits=thresholds((0.05, WARN), (0.1, GOOD), first=BAD),
        ),
        stat(
            "Runs on",
            "The execution provider that was really used.",
            (f"{E}execution_provider{{{AT}}} == 1", "{{provider}}"),
            shows="name",
            limits=thresholds(first=CALM),
        ),
        stat(
            "GPU failed to start",
            "1 if a better provider is installed but did not start.",
            (f"{E}provider_fallback{{{AT}}}", ""),
            mappings=YES_NO,
        ),
        series(
            "Reserve at delivery",
            "Time left between delivery and the part's earliest arrival at the gate.",
            *((quantile(q, "reserve_seconds", "link"), f"{{{{link}}}} {name}") for q, name in _LOW),
            unit="s",
            limits=thresholds((0.05, WARN), (0.1, GOOD), first=BAD),
        ),
        heat(
            "Reserve at delivery, all links",
            "Verdicts per bucket.",
            f"sum by (le) (increase({E}reserve_seconds_bucket{{{AT}}}{RATE}))",
            unit="s",
        ),
    ]


def _time() -> list[dict[str, Any]]:
    return [
        series("Capture to decision", "", *spread("capture_to_decision_seconds"), unit="s"),
        series("One call of the model", "", *spread("inference_seconds"), unit="s"),
        series("One exchange with a link", "", *spread("link_exchange_seconds", "link"), unit="s"),
        series(
            "Frames per call of the model",
            "Grows under load.",
            (f"rate({E}batch_frames_sum{{{AT}}}{RATE}) / rate({E}batch_frames_count{{{AT}}}{RATE})", "mean"),
        ),
    ]


def _frames() -> list[dict[str, Any]]:
    return [
        series("Frames", "Per second.", (f"rate({E}frames_completed_total{{{AT}}}{RATE})", "{{camera}}"), unit="hertz"),
        series(
            "Frames lost",
            "In the last five minutes: frames damaged, not seen by the model, or of no part, and cameras reopened.",
            (f"increase({E}frames_failed_total{{{AT}}}[5m])", "{{camera}} damaged"),
            (f"increase({E}frames_evicted_total{{{AT}}}[5m])", "{{camera}} {{reason}}"),
            (f"increase({E}frames_unmatched_total{{{AT}}}[5m])", "of no part"),
            (f"increase({E}camera_reopened_total{{{AT}}}[5m])", "{{camera}} opened again"),
        ),
        series("Waiting in mailboxes", "Items.", (f"{E}mailbox_items{{{AT}}}", "{{mailbox}}")),
        series(
            "Model failures", "In the last five minutes.", (f"increase({E}inference_failed_total{{{AT}}}[5m])", "calls")
        ),
    ]


def _pictures() -> list[dict[str, Any]]:
    return [
        series(
            "Drift",
            "Population stability index against the recipe's reference. Look into it from 0.1, and act from 0.25.",
            (f"{E}drift_psi{{{AT}}}", "{{subject}} {{quantity}}"),
            limits=thresholds((0.1, WARN), (0.25, BAD)),
        ),
        series("Sharpness", "Of the last picture.", (f"{E}picture_sharpness{{{AT}}}", "{{camera}}"), unit="percent"),
        series(
            "Pictures that could not be judged",
            "In the last five minutes.",
            (f"increase({E}pictures_bad_total{{{AT}}}[5m])", "{{camera}} {{fault}}"),
        ),
        series(
            "Camera statistics",
            "In the last five minutes: frames that never arrived, packets sent again or lost for good, and underruns.",
            (f"increase({E}frames_missed_total{{{AT}}}[5m])", "{{camera}} missed"),
            (f"increase({E}camera_packets_resent_total{{{AT}}}[5m])", "{{camera}} resent"),
            (f"increase({E}camera_packets_missing_total{{{AT}}}[5m])", "{{camera}} lost"),
            (f"increase({E}camera_underruns_total{{{AT}}}[5m])", "{{camera}} underruns"),
        ),
        series("Temperature of cameras", "", (f"{E}camera_temperature_celsius{{{AT}}}", "{{camera}}"), unit="celsius"),
    ]


def _position() -> list[dict[str, Any]]:
    return [
        series("Bound on the position's error", "", *spread("position_error_bound_mm"), unit="lengthmm"),
        series(
            "Encoder",
            "Samples and failed readings per second. A new epoch makes all earlier positions invalid.",
            (f"rate({E}encoder_samples_total{{{AT}}}{RATE})", "samples"),
            (f"rate({E}encoder_failed_total{{{AT}}}{RATE})", "failed"),
            (f"increase({E}encoder_epochs_total{{{AT}}}[5m])", "epochs in 5 min"),
        ),
    ]


def _links() -> list[dict[str, Any]]:
    return [
        series(
            "Not yet taken or acknowledged",
            "Verdicts that a link has not accepted yet, and verdicts that the PLC or broker has not acknowledged yet.",
            (f"{E}verdicts_waiting{{{AT}}}", "{{link}} waiting"),
            (f"{E}link_backlog{{{AT}}}", "{{link}} unacknowledged"),
        ),
        series(
            "Verdicts and failures",
            "Verdicts per minute, and failures in the last five minutes.",
            (f"rate({E}verdicts_delivered_total{{{AT}}}{RATE}) * 60", "{{link}} verdicts"),
            (f"increase({E}link_failed_total{{{AT}}}[5m])", "{{link}} failures"),
        ),
        series(
            "Unexpected events",
            "In the last five minutes: rejects too late to be sent or without a subscriber, and shortened messages.",
            (f"increase({E}link_events_total{{{AT}}}[5m])", "{{link}} {{event}}"),
        ),
    ]


def _archive() -> list[dict[str, Any]]:
    return [
        series("Kept on the disk", "", (f"{E}archive_bytes{{{AT}}}", "{{what}}"), unit="bytes"),
        series(
            "Kept and left out",
            "In the last five minutes.",
            (f"increase({E}archive_pictures_total{{{AT}}}[5m])", "{{kept_because}}"),
            (f"increase({E}archive_left_out_total{{{AT}}}[5m])", "{{what}} left out"),
        ),
        series(
            "Opinion of the shadow model",
            "Views in the last five minutes.",
            (f"increase({E}shadow_views_total{{{AT}}}[5m])", "{{opinion}}"),
        ),
        series("One call of the shadow model", "", *spread("shadow_seconds"), unit="s"),
    ]


def _box() -> list[dict[str, Any]]:
    return [
        series("Processor", "Cores used by the daemon.", (f"rate(process_cpu_seconds_total{{{AT}}}{RATE})", "cores")),
        series("Memory", "Resident.", (f"process_resident_memory_bytes{{{AT}}}", "resident"), unit="bytes"),
        series(
            "Disk of state_dir",
            "Free.",
            (f"{E}state_disk_free_bytes{{{AT}}} / {E}state_disk_size_bytes{{{AT}}}", "free"),
            unit="percentunit",
            limits=thresholds((0.1, GOOD), first=BAD),
        ),
        series(
            "Files and restarts",
            "Open file handles, and threads that were restarted in the last ten minutes.",
            (f"process_open_fds{{{AT}}}", "open files"),
            (f"increase({E}worker_restarts_total{{{AT}}}[10m]) > 0", "{{worker}} restarted"),
        ),
    ]
