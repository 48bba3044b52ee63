"""Stations as a Prometheus sees them: found by its targets, their state from metrics. Nobody asks them here."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspector.codes import StationState
from edge_inspector.fleet.answers import Health, PartCounts, shown
from edge_inspector.fleet.fetch import METRICS_BYTES, Asker, FetchError
from edge_inspector.fleet.problems import Problem, SeenProblem
from edge_inspector.fleet.roster import Known, Polled, Roster
from edge_inspector.fleet.tables import PollTable, PrometheusTable, address_of
from edge_inspector.station.table_faults import read_token

log = logging.getLogger(__name__)

_STEP_S: Final = 0.25
_SPAN_S: Final = 600  # of the counts of parts
_MOST: Final = 50_000  # series in one answer
_MOST_STATIONS: Final = 1000
_MOST_REASONS: Final = 200

# What the recording rule `instance:edge_inspector_state:urgency` says. 5 is no answer.
_BY_URGENCY: Final = {
    "0": StationState.READY,
    "1": StationState.STARTING,
    "2": StationState.DEGRADED,
    "3": StationState.OFF,
    "4": StationState.FAULT,
}

# The Prometheus of a hall has the series of the stations. That of a plant has those that the halls record.
_QUERIES: Final = {
    "up": "up{{{job}}}",
    "state": "edge_inspector_station_state{{{job}}} == 1",
    "urgency": "instance:edge_inspector_state:urgency{{{job}}}",
    "condition": "edge_inspector_condition_active{{{job}}} == 1",
    "recorded": "instance_code:edge_inspector_condition_active:max{{{job}}}",
    "info": "edge_inspector_station_info{{{job}}} or instance_station:edge_inspector_station:info{{{job}}}",
    "rollout": "edge_inspector_rollout_since_seconds{{{job}}}"
    " or instance_rollout:edge_inspector_rollout_since_seconds:max{{{job}}}",
    "parts": "sum by (instance, decision) (increase(edge_inspector_parts_processed_total{{{job}}}[10m]))"
    " or sum by (instance, decision) (instance_decision:edge_inspector_parts_processed:increase10m{{{job}}})",
}


class _FromPrometheus(BaseModel):
    """What a newer Prometheus says in addition is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Series(_FromPrometheus):
    """One series with its value now."""

    metric: dict[str, str]
    value: tuple[float, str]

    def get(self, label: str) -> str:
        """The value of a label, as it may be shown. Empty if the series does not have it."""
        return shown(self.metric.get(label, ""))


class _Vector(_FromPrometheus):
    result: Annotated[list[_Series], Field(max_length=_MOST)]


class _Answer(_FromPrometheus):
    status: Literal["success"]
    data: _Vector


class _Target(_FromPrometheus):
    labels: dict[str, str]
    scrape_url: Annotated[str, Field(alias="scrapeUrl")] = ""
    health: str = "unknown"
    last_error: Annotated[str, Field(alias="lastError")] = ""


class _Targets(_FromPrometheus):
    active: Annotated[list[_Target], Field(alias="activeTargets", max_length=_MOST)]


class _TargetsAnswer(_FromPrometheus):
    status: Literal["success"]
    data: _Targets


_AnyAnswer = TypeVar("_AnyAnswer", _Answer, _TargetsAnswer)


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that one round of questions gave."""

    targets: Mapping[str, _Target]
    series: Mapping[str, Mapping[str, Sequence[_Series]]]

    def of(self, kind: str, instance: str) -> Sequence[_Series]:
        """The series of one station."""
        return self.series[kind].get(instance, ())

    @property
    def instances(self) -> list[str]:
        """The stations by which Prometheus tells them apart."""
        return sorted({*self.targets, *self.series["up"], *self.series["urgency"]} - {""})[:_MOST_STATIONS]


class Watched:
    """The thread `watched`. It asks Prometheus as often as the other stations are asked for their health."""

    name = "watched"
    beat_within_s = 300.0  # nine questions, each up to `timeout_s`

    def __init__(self, roster: Roster, settings: PrometheusTable, poll: PollTable, asker: Asker) -> None:
        self._roster, self._settings, self._asker = roster, settings, asker
        self._token = read_token(settings.token_file) if settings.token_file is not None else ""
        self._every_ns = int(poll.every_s * 1e9)
        self._due_ns = 0
        self._known: list[Known] = []

    def start(self) -> None:
        """Ask at once."""
        self._due_ns = 0

    def step(self) -> None:
        """Ask if it is time."""
        now = time.monotonic_ns()
        if now >= self._due_ns:
            self._due_ns = now + self._every_ns
            self.look()
        time.sleep(_STEP_S)

    def stop(self, *, failed: bool) -> None:
        """Nothing is open."""

    def look(self) -> None:
        """One round of questions. If Prometheus does not answer, nothing is known of its stations any more."""
        try:
            seen = self._ask_all()
        except FetchError as error:
            self._lose(error)
            return
        self._roster.prometheus_trouble = ""
        self._known = [_known(instance, seen) for instance in seen.instances]
        self._roster.scrapes(self._known)
        now = time.monotonic_ns()
        for known in self._known:
            self._note(known, seen, now)

    def _lose(self, error: FetchError) -> None:
        why = shown(f"{self._settings.url}: {error}", 200)
        if why != self._roster.prometheus_trouble:
            log.warning("Prometheus %s", why)
        self._roster.prometheus_trouble = why
        trouble = SeenProblem(Problem.SILENT, "Prometheus")
        for known in self._known:
            self._roster.note(known.key, lambda before: before.bad(trouble))

    def _note(self, known: Known, seen: _Seen, now: int) -> None:
        health, figures = _health(known.scraped, seen), _figures(known.scraped, seen)
        if health is None:
            trouble = _trouble(known.scraped, seen)
            if trouble is not None:
                self._roster.note(known.key, lambda before: before.bad(trouble))
            return
        self._roster.note(known.key, lambda before: before.good(health, None, now))
        if figures is not None:
            self._roster.note(known.key, lambda before: _counted(before, figures, now))

    def _ask_all(self) -> _Seen:
        """Raises FetchError."""
        job = f'job="{self._settings.job}"'
        series = {}
        for kind, query in _QUERIES.items():
            by_instance: dict[str, list[_Series]] = defaultdict(list)
            for sample in self._ask(_Answer, f"query?query={quote(query.format(job=job))}").data.result:
                by_instance[sample.get("instance")].append(sample)
            series[kind] = by_instance
        told = self._ask(_TargetsAnswer, "targets?state=active").data.active
        own = [each for each in told if each.labels.get("job") == self._settings.job]
        return _Seen({shown(each.labels.get("instance", "")): each for each in own}, series)

    def _ask(self, kind: type[_AnyAnswer], what: str) -> _AnyAnswer:
        body = self._asker.get(self._settings.url, f"/api/v1/{what}", most=METRICS_BYTES, token=self._token)
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise FetchError(Problem.RUBBISH, "it answers otherwise than a Prometheus") from error


def _known(instance: str, seen: _Seen) -> Known:
    target = seen.targets.get(instance)
    info = next(iter(seen.of("info", instance)), None)
    any_series = next((found[0] for kind in ("up", "urgency") if (found := seen.of(kind, instance))), None)
    return Known(
        address=_address(instance, target),
        name=(info.get("station") if info is not None else "") or instance,
        site=any_series.get("site") if any_series is not None else "",
        scraped=instance,
        version=info.get("version") if info is not None else "",
    )


def _address(instance: str, target: _Target | None) -> str:
    """The address of the station's page. Without a target, the instance usually is host and port."""
    if target is not None:
        place = target.scrape_url.partition("?")[0].removesuffix("/metrics")
        return address_of(place) or ""
    return (address_of(f"http://{instance}") or "") if ":" in instance else ""


def _health(instance: str, seen: _Seen) -> Health | None:
    """What the station says of itself by its metrics. None if it says nothing now."""
    state = next((each.get("state") for each in seen.of("state", instance)), "")
    reasons = seen.of("condition", instance)
    if not state:
        urgency = next((each.value[1] for each in seen.of("urgency", instance)), "")
        state, reasons = _BY_URGENCY.get(urgency, ""), seen.of("recorded", instance)
    down = any(each.value[1] == "0" for each in seen.of("up", instance))
    if not state or down:
        return None
    told = [{"code": each.get("code"), "subject": each.get("subject")} for each in reasons[:_MOST_REASONS]]
    rollout = next(
        ({"package": each.get("package"), "step": each.get("step")} for each in seen.of("rollout", instance)), None
    )
    try:
        return Health.model_validate({"state": state, "reasons": told, "rollout": rollout})
    except ValidationError:  # no station has such a state or code
        return None


def _figures(instance: str, seen: _Seen) -> PartCounts | None:
    try:
        counts = {each.get("decision"): float(each.value[1]) for each in seen.of("parts", instance)}
    except ValueError:
        return None
    if not counts or not all(0 <= count < 1 << 53 for count in counts.values()):
        return None
    return PartCounts(
        round(sum(counts.values())), round(counts.get("reject", 0)), round(counts.get("not_inspected", 0))
    )


def _counted(before: Polled, figures: PartCounts, now: int) -> Polled:
    """Prometheus has counted the parts of the last minutes itself."""
    begun = now - int(_SPAN_S * 1e9)
    return replace(before, figures=deque([(begun, PartCounts(0, 0, 0)), (now, figures)]))


def _trouble(instance: str, seen: _Seen) -> SeenProblem | None:
    """Why nothing is known. None if Prometheus has not asked the station yet."""
    target = seen.targets.get(instance)
    if target is not None and target.health == "unknown":
        return None
    return SeenProblem(Problem.SILENT, shown(target.last_error, 120) if target is not None else "")
