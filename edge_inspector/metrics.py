"""Every Prometheus metric of the daemon, on one page."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from edge_inspector.records import Decision, ErrorCode, Reason, StationState

# These series are a third of all series. process_start_time_seconds has the same information.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)

station_info = Info(
    "edge_inspector_station",
    "Station, version, recipe, model, and the fingerprint of everything that judges.",
    registry=REGISTRY,
)
station_state = Gauge(
    "edge_inspector_station_state",
    "1 for the state that is sent to the PLC now, 0 for the others.",
    ["state"],
    registry=REGISTRY,
)
condition_active = Gauge(
    "edge_inspector_condition_active",
    "1 while this condition holds, 0 after it.",
    ["code", "subject"],
    registry=REGISTRY,
)
state_disk_free = Gauge(
    "edge_inspector_state_disk_free_bytes", "Free space on the disk of state_dir.", registry=REGISTRY
)
state_disk_size = Gauge("edge_inspector_state_disk_size_bytes", "Size of the disk of state_dir.", registry=REGISTRY)

parts_triggered = Counter("edge_inspector_parts_triggered", "Parts announced by the PLC.", registry=REGISTRY)
triggers_doubled = Counter(
    "edge_inspector_triggers_doubled",
    "Parts announced less than a part's length after the previous one. The photo-eye probably bounces.",
    registry=REGISTRY,
)
parts_processed = Counter("edge_inspector_parts_processed", "Verdicts, one per part.", ["decision"], registry=REGISTRY)
parts_defective = Counter("edge_inspector_parts_defective", "Parts with decision REJECT.", registry=REGISTRY)
parts_not_inspected = Counter(
    "edge_inspector_parts_not_inspected", "Parts that were not inspected, by reason.", ["reason"], registry=REGISTRY
)
parts_open = Gauge("edge_inspector_parts_open", "Parts between photo-eye and verdict.", registry=REGISTRY)
defects_found = Counter("edge_inspector_defects_found", "Defects in verdicts.", ["defect_class"], registry=REGISTRY)

frames_completed = Counter(
    "edge_inspector_frames_completed", "Frames received complete.", ["camera"], registry=REGISTRY
)
frames_failed = Counter(
    "edge_inspector_frames_failed", "Frames received incomplete or damaged.", ["camera"], registry=REGISTRY
)
frames_evicted = Counter(
    "edge_inspector_frames_evicted",
    "Complete frames that the model did not see, by reason.",
    ["camera", "reason"],
    registry=REGISTRY,
)
frames_missed = Counter(
    "edge_inspector_frames_missed",
    "Frames that never arrived (gaps in the camera's numbers), or whose capture time could not be determined.",
    ["camera"],
    registry=REGISTRY,
)
pictures_bad = Counter(
    "edge_inspector_pictures_bad",
    "Pictures that were not judged because of their quality, by fault.",
    ["camera", "fault"],
    registry=REGISTRY,
)
picture_sharpness = Gauge(
    "edge_inspector_picture_sharpness",
    "Sharpness of the last picture, in percent of its mean.",
    ["camera"],
    registry=REGISTRY,
)
frames_unmatched = Counter("edge_inspector_frames_unmatched", "Frames that match no part.", registry=REGISTRY)
camera_up = Gauge("edge_inspector_camera_up", "1 while the camera is open.", ["camera"], registry=REGISTRY)
camera_reopened = Counter(
    "edge_inspector_camera_reopened", "Times that a camera was reopened.", ["camera"], registry=REGISTRY
)

camera_underruns = Counter(
    "edge_inspector_camera_underruns", "Frames lost because no buffer was free.", ["camera"], registry=REGISTRY
)
camera_packets_missing = Counter(
    "edge_inspector_camera_packets_missing", "Network packets that were lost for good.", ["camera"], registry=REGISTRY
)
camera_packets_resent = Counter(
    "edge_inspector_camera_packets_resent",
    "Network packets that were lost and then sent again.",
    ["camera"],
    registry=REGISTRY,
)
camera_temperature = Gauge(
    "edge_inspector_camera_temperature_celsius",
    "Camera temperature, where the camera reports it.",
    ["camera"],
    registry=REGISTRY,
)

inference_seconds = Histogram(
    "edge_inspector_inference_seconds", "Duration of one call of the model.", buckets=_LATENCY_S, registry=REGISTRY
)
batch_frames = Histogram(
    "edge_inspector_batch_frames", "Frames per call of the model.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=REGISTRY
)
execution_provider = Gauge(
    "edge_inspector_execution_provider",
    "1 for the provider that the model really runs on.",
    ["provider"],
    registry=REGISTRY,
)
provider_fallback = Gauge(
    "edge_inspector_provider_fallback",
    "1 while the model runs on a fallback provider because a better one, installed or listed, did not start.",
    registry=REGISTRY,
)
inference_failed = Counter("edge_inspector_inference_failed", "Calls of the model that failed.", registry=REGISTRY)
capture_to_decision_seconds = Histogram(
    "edge_inspector_capture_to_decision_seconds",
    "Time from the middle of the last view's exposure to the decision.",
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
reserve_seconds = Histogram(
    "edge_inspector_reserve_seconds",
    "Time left between a verdict's delivery to a link and the part's earliest arrival at the gate.",
    ["link"],
    buckets=(0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    registry=REGISTRY,
)

encoder_samples = Counter("edge_inspector_encoder_samples", "Encoder readings that succeeded.", registry=REGISTRY)
encoder_failed = Counter("edge_inspector_encoder_failed", "Encoder readings that failed.", registry=REGISTRY)
encoder_epochs = Counter(
    "edge_inspector_encoder_epochs", "Times that all earlier positions became invalid.", registry=REGISTRY
)
belt_speed = Gauge("edge_inspector_belt_speed_mm_s", "Belt speed, negative while the count falls.", registry=REGISTRY)
position_bound = Gauge(
    "edge_inspector_position_bound_mm",
    "Error bound of a belt position now. Not updated while encoder readings contradict each other.",
    registry=REGISTRY,
)
position_error_mm = Histogram(
    "edge_inspector_position_error_bound_mm",
    "Error bound of a view's position.",
    buckets=(0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0),
    registry=REGISTRY,
)

link_up = Gauge("edge_inspector_link_up", "1 while the PLC or broker answers.", ["link"], registry=REGISTRY)
link_failed = Counter(
    "edge_inspector_link_failed", "Times that a link failed and was reopened.", ["link"], registry=REGISTRY
)
link_exchange_seconds = Histogram(
    "edge_inspector_link_exchange_seconds",
    "Duration of one exchange with the PLC or broker.",
    ["link"],
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
link_events = Counter(
    "edge_inspector_link_events", "Unexpected events on a link, by kind.", ["link", "event"], registry=REGISTRY
)
verdicts_delivered = Counter(
    "edge_inspector_verdicts_delivered", "Verdicts that a link accepted.", ["link"], registry=REGISTRY
)
verdicts_late = Counter(
    "edge_inspector_verdicts_late",
    "Verdicts delivered when the part may already have been at the gate.",
    ["link"],
    registry=REGISTRY,
)
verdicts_waiting = Gauge(
    "edge_inspector_verdicts_waiting", "Verdicts that a link has not accepted yet.", ["link"], registry=REGISTRY
)
link_backlog = Gauge(
    "edge_inspector_link_backlog",
    "Verdicts or messages that the PLC or broker has not acknowledged yet.",
    ["link"],
    registry=REGISTRY,
)
verdicts_lost = Counter(
    "edge_inspector_verdicts_lost",
    "Verdicts dropped because a link accepted none for too long.",
    ["link"],
    registry=REGISTRY,
)

archive_pictures = Counter(
    "edge_inspector_archive_pictures", "Views whose picture was kept, by reason.", ["kept_because"], registry=REGISTRY
)
archive_bytes = Gauge(
    "edge_inspector_archive_bytes", "Disk space used by results and by pictures.", ["what"], registry=REGISTRY
)
archive_left_out = Counter(
    "edge_inspector_archive_left_out",
    "Items that the archive did not keep, by kind. The kind sampled is pictures beyond pictures_per_s.",
    ["what"],
    registry=REGISTRY,
)

archive_forgotten = Counter(
    "edge_inspector_archive_forgotten",
    "Parts and picture views that were deleted because of their age or to make room.",
    ["what", "why"],
    registry=REGISTRY,
)

shadow_seconds = Histogram(
    "edge_inspector_shadow_seconds", "Duration of one call of the shadow model.", buckets=_LATENCY_S, registry=REGISTRY
)
shadow_views = Counter(
    "edge_inspector_shadow_views",
    "Views that the shadow model saw, by its opinion: it agrees, or only it rejects, or only it accepts.",
    ["opinion"],
    registry=REGISTRY,
)
drift_psi = Gauge(
    "edge_inspector_drift_psi",
    "Population stability index of the latest parts against the recipe's reference, by camera or defect class.",
    ["subject", "quantity"],
    registry=REGISTRY,
)
reject_rate = Gauge(
    "edge_inspector_reject_rate", "Share of rejected parts among the latest inspected parts.", registry=REGISTRY
)
reject_rate_low = Gauge(
    "edge_inspector_reject_rate_low", "Lower control limit of the reject rate, at 3 sigma.", registry=REGISTRY
)
reject_rate_high = Gauge(
    "edge_inspector_reject_rate_high", "Upper control limit of the reject rate, at 3 sigma.", registry=REGISTRY
)
commands = Counter("edge_inspector_commands", "Commands received, by result.", ["command", "result"], registry=REGISTRY)

worker_restarts = Counter(
    "edge_inspector_worker_restarts", "Workers restarted by the supervisor.", ["worker"], registry=REGISTRY
)
mailbox_items = Gauge("edge_inspector_mailbox_items", "Items waiting in a mailbox.", ["mailbox"], registry=REGISTRY)


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
