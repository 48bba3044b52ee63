"""Every Prometheus metric of the daemon, on one page."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState

# These series are a third of all series. process_start_time_seconds has the same information.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_counter = partial(Counter, namespace="edge_inspector", registry=REGISTRY)
_gauge = partial(Gauge, namespace="edge_inspector", registry=REGISTRY)
_histogram = partial(Histogram, namespace="edge_inspector", registry=REGISTRY)

_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)

station_info = Info(
    "station",
    "Station, version, recipe, model, and the fingerprint of everything that judges.",
    namespace="edge_inspector",
    registry=REGISTRY,
)
station_state = _gauge("station_state", "1 for the state that is sent to the PLC now, 0 for the others.", ["state"])
condition_active = _gauge("condition_active", "1 while this condition holds, 0 after it.", ["code", "subject"])
state_disk_free = _gauge("state_disk_free_bytes", "Free space on the disk of state_dir.")
state_disk_size = _gauge("state_disk_size_bytes", "Size of the disk of state_dir.")

parts_triggered = _counter("parts_triggered", "Parts announced by the PLC.")
triggers_doubled = _counter(
    "triggers_doubled",
    "Parts announced less than a part's length after the previous one. The photo-eye probably bounces.",
)
parts_processed = _counter("parts_processed", "Verdicts, one per part.", ["decision"])
parts_defective = _counter("parts_defective", "Parts with decision REJECT.")
parts_not_inspected = _counter("parts_not_inspected", "Parts that were not inspected, by reason.", ["reason"])
parts_open = _gauge("parts_open", "Parts between photo-eye and verdict.")
defects_found = _counter("defects_found", "Defects in verdicts.", ["defect_class"])

frames_completed = _counter("frames_completed", "Frames received complete.", ["camera"])
frames_failed = _counter("frames_failed", "Frames received incomplete or damaged.", ["camera"])
frames_evicted = _counter(
    "frames_evicted", "Complete frames that the model did not see, by reason.", ["camera", "reason"]
)
frames_missed = _counter(
    "frames_missed",
    "Frames that never arrived (gaps in the camera's numbers), or whose capture time could not be determined.",
    ["camera"],
)
pictures_bad = _counter(
    "pictures_bad", "Pictures that were not judged because of their quality, by fault.", ["camera", "fault"]
)
picture_sharpness = _gauge("picture_sharpness", "Sharpness of the last picture, in percent of its mean.", ["camera"])
frames_unmatched = _counter("frames_unmatched", "Frames that match no part.")
camera_up = _gauge("camera_up", "1 while the camera is open.", ["camera"])
camera_reopened = _counter("camera_reopened", "Times that a camera was reopened.", ["camera"])

camera_underruns = _counter("camera_underruns", "Frames lost because no buffer was free.", ["camera"])
camera_packets_missing = _counter("camera_packets_missing", "Network packets that were lost for good.", ["camera"])
camera_packets_resent = _counter(
    "camera_packets_resent", "Network packets that were lost and then sent again.", ["camera"]
)
camera_temperature = _gauge(
    "camera_temperature_celsius", "Camera temperature, where the camera reports it.", ["camera"]
)

inference_seconds = _histogram("inference_seconds", "Duration of one call of the model.", buckets=_LATENCY_S)
batch_frames = _histogram("batch_frames", "Frames per call of the model.", buckets=(1, 2, 4, 8, 16, 32, 64))
execution_provider = _gauge("execution_provider", "1 for the provider that the model really runs on.", ["provider"])
provider_fallback = _gauge(
    "provider_fallback",
    "1 while the model runs on a fallback provider because a better one, installed or listed, did not start.",
)
inference_failed = _counter("inference_failed", "Calls of the model that failed.")
capture_to_decision_seconds = _histogram(
    "capture_to_decision_seconds",
    "Time from the middle of the last view's exposure to the decision.",
    buckets=_LATENCY_S,
)
reserve_seconds = _histogram(
    "reserve_seconds",
    "Time left between a verdict's delivery to a link and the part's earliest arrival at the gate.",
    ["link"],
    buckets=(0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)

encoder_samples = _counter("encoder_samples", "Encoder readings that succeeded.")
encoder_failed = _counter("encoder_failed", "Encoder readings that failed.")
encoder_epochs = _counter("encoder_epochs", "Times that all earlier positions became invalid.")
belt_speed = _gauge("belt_speed_mm_s", "Belt speed, negative while the count falls.")
position_bound = _gauge(
    "position_bound_mm", "Error bound of a belt position now. Not updated while encoder readings contradict each other."
)
position_error_mm = _histogram(
    "position_error_bound_mm",
    "Error bound of a view's position.",
    buckets=(0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0),
)

link_up = _gauge("link_up", "1 while the PLC or broker answers.", ["link"])
link_failed = _counter("link_failed", "Times that a link failed and was reopened.", ["link"])
link_exchange_seconds = _histogram(
    "link_exchange_seconds", "Duration of one exchange with the PLC or broker.", ["link"], buckets=_LATENCY_S
)
link_events = _counter("link_events", "Unexpected events on a link, by kind.", ["link", "event"])
verdicts_delivered = _counter("verdicts_delivered", "Verdicts that a link accepted.", ["link"])
verdicts_late = _counter(
    "verdicts_late", "Verdicts delivered when the part may already have been at the gate.", ["link"]
)
verdicts_waiting = _gauge("verdicts_waiting", "Verdicts that a link has not accepted yet.", ["link"])
link_backlog = _gauge("link_backlog", "Verdicts or messages that the PLC or broker has not acknowledged yet.", ["link"])
verdicts_lost = _counter("verdicts_lost", "Verdicts dropped because a link accepted none for too long.", ["link"])

archive_pictures = _counter("archive_pictures", "Views whose picture was kept, by reason.", ["kept_because"])
archive_bytes = _gauge("archive_bytes", "Disk space used by results and by pictures.", ["what"])
archive_left_out = _counter(
    "archive_left_out",
    "Items that the archive did not keep, by kind. The kind sampled is pictures beyond pictures_per_s.",
    ["what"],
)

record_bytes = _gauge("record_bytes", "Disk space that the record of this shift takes.")
record_pictures_left_out = _gauge(
    "record_pictures_left_out", "Pictures that are missing in the record of this shift, because the disk was too slow."
)

archive_forgotten = _counter(
    "archive_forgotten",
    "Parts and picture views that were deleted for their age or for room. `unforwarded`: parts that the store lacks.",
    ["what", "why"],
)

forward_lag_s = _gauge(
    "forward_lag_seconds",
    "Age of the oldest part that the plant's store lacks, less `bucket.file_s`. 0 if it has all, or if there is none.",
)

shadow_seconds = _histogram("shadow_seconds", "Duration of one call of the shadow model.", buckets=_LATENCY_S)
shadow_views = _counter(
    "shadow_views",
    "Views that the shadow model saw, by its opinion: it agrees, or only it rejects, or only it accepts.",
    ["opinion"],
)
drift_psi = _gauge(
    "drift_psi",
    "Population stability index of the latest parts against the recipe's reference, by camera or defect class.",
    ["subject", "quantity"],
)
reject_rate = _gauge("reject_rate", "Share of rejected parts among the latest inspected parts.")
reject_rate_low = _gauge("reject_rate_low", "Lower control limit of the reject rate, at 3 sigma.")
reject_rate_high = _gauge("reject_rate_high", "Upper control limit of the reject rate, at 3 sigma.")
false_rejects_promised = _gauge(
    "false_rejects_promised", "Largest share of false rejects that the calibrated limits in force promise. NaN: none."
)
false_rejects_realised = _gauge(
    "false_rejects_realised",
    "Share of false rejects among the latest parts, from what people said of rejected ones. NaN: nobody said anything.",
)
login_failed = _counter("login_failed", "Logins to the page with a wrong password.")
challenges = _counter("challenges", "Challenges of the station that have ended, by result.", ["result"])
certificate_expires = _gauge(
    "certificate_expires_seconds", "When the page's certificate expires, in seconds since 1970. 0 without one."
)
commands = _counter("commands", "Commands received, by result.", ["command", "result"])

rollout_since = _gauge(
    "rollout_since_seconds",
    "When what a roll-out has brought came to this step, in seconds since 1970. Only the latest roll-out is there.",
    ["package", "step", "wanted"],
)

worker_restarts = _counter("worker_restarts", "Workers restarted by the supervisor.", ["worker"])
mailbox_items = _gauge("mailbox_items", "Items waiting in a mailbox.", ["mailbox"])


@cache
def of(metric: Any, *labels: str) -> Any:
    """`metric.labels(*labels)`, found at once where it is needed for every frame or part. Labels must be few."""
    return metric.labels(*labels)


def begin(cameras: Iterable[str], links: Iterable[str], workers: Iterable[str]) -> None:
    """Start every series at 0 if its first increment matters.

    Prometheus' `increase` does not count a step from a missing series to 1.
    """
    for decision in Decision:
        parts_processed.labels(decision.name.lower())
    for reason in Reason:
        if reason not in (Reason.NONE, Reason.DEFECT):
            parts_not_inspected.labels(reason.label)
    for camera in cameras:
        for counter in (frames_completed, frames_failed, camera_reopened):
            counter.labels(camera)
    for link in links:
        for counter in (link_failed, verdicts_delivered, verdicts_late, verdicts_lost):
            counter.labels(link)
    for result in ("passed", "failed"):
        challenges.labels(result)
    for worker in workers:
        worker_restarts.labels(worker)


def show_state(state: StationState) -> None:
    """Set this state to 1 and all others to 0."""
    for each in StationState:
        station_state.labels(each.value).set(each is state)


def show_conditions(held: Collection[tuple[ErrorCode, str]], ever_held: Iterable[tuple[ErrorCode, str]]) -> None:
    """Set the conditions that hold to 1, and the earlier ones to 0.

    Nothing is cleared first, because a scrape in between would show no fault.
    """
    for code, subject in ever_held:
        condition_active.labels(code.name.lower(), subject).set((code, subject) in held)
