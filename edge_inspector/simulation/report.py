"""Measures a run against the truth of the simulated line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_inspector.codes import Decision, Reason
from edge_inspector.simulation.line import Line
from edge_inspector.simulation.web import web_parts
from edge_inspector.simulation.web_account import web_account
from edge_inspector.simulation.web_told import ToldMark, ToldPiece, told_marks, told_pieces

Event = dict[str, Any]
PartKey = tuple[int, int]

STAGES = ("transfer", "wait for the model", "inference", "judgement", "delivery")


def read_ledger(path: Path) -> list[Event]:
    """The PLC's ledger. A last line that kill -9 cut off is left out."""
    events = []
    for text in path.read_text().splitlines():
        try:
            events.append(json.loads(text))
        except ValueError:
            continue
    return events


def line_report(line: Line, ledger: Sequence[Event], verdicts: Sequence[Event], metrics: str) -> Event:
    """The report of `edge-inspector demo --report`. docs/demo.md explains every figure."""
    triggers = {_key(event): event for event in ledger if event["kind"] == "trigger"}
    plc: dict[PartKey, Event] = {}
    for event in ledger:
        if event["kind"] == "verdict" and event["how"] != "duplicate":
            plc.setdefault(_key(event), event)
    mqtt = {(body["plc_boot_id"], body["part_seq"]): body for body in verdicts}
    answered = {key for key in triggers if key in plc or key in mqtt}
    decisions = {key: plc[key]["decision"] if key in plc else Decision[mqtt[key]["decision"]] for key in answered}
    reasons = Counter(
        Reason(plc[key]["reason"]).label if key in plc else mqtt[key]["reason"]
        for key in answered
        if decisions[key] == Decision.NOT_INSPECTED
    )
    truth = {key: line.look.defective(event["part"]) for key, event in triggers.items()}
    tally = Counter(decisions.values())
    report: Event = {
        "parts_triggered": len(triggers),
        "verdicts": len(answered),
        "accept": tally[Decision.ACCEPT],
        "reject": tally[Decision.REJECT],
        "not_inspected": tally[Decision.NOT_INSPECTED],
        "not_inspected_reasons": dict(reasons),
        "unaccounted": len(triggers) - len(answered),
        "unaccounted_plc": len(triggers.keys() - plc.keys()),
        "unaccounted_mqtt": len(triggers.keys() - mqtt.keys()),
        "duplicates": _duplicates(ledger, verdicts),
        "mqtt_redelivered": len(verdicts) - len({(body["boot_id"], body["seq"]) for body in verdicts}),
        "late": sum(
            event["kind"] == "verdict" and event["how"] == "late" and _key(event) in triggers for event in ledger
        ),
        "truth_defective": sum(truth[key] for key in answered),
        "escapes": sum(
            truth[key] and decisions[key] == Decision.ACCEPT and not _may_have_defects(line, mqtt.get(key))
            for key in answered
        ),
        "false_rejects": sum(not truth[key] and decisions[key] == Decision.REJECT for key in answered),
    }
    report |= _gate(ledger)
    report |= _timing(triggers, plc, mqtt)
    report |= _position(line, ledger, triggers, mqtt)
    if line.web:
        report |= web_account(line, ledger, verdicts) | _marks(line, verdicts)
    if line.grades:
        report |= _grades(line, ledger)
    report |= _from_metrics(metrics)
    report["edge_silent_ms"] = _silences(ledger)
    return report


def recovery_s(verdicts: Iterable[Event], camera: str, ready_ns: int) -> float | None:
    """Time from a camera's return until its first exposure that was inspected. None without one."""
    views = (view for body in verdicts for view in body["views"] if view["camera"] == camera)
    after = [view["captured_ns"] for view in views if view["captured_ns"] > ready_ns and view["failure"] == "none"]
    return round((min(after) - ready_ns) / 1e9, 3) if after else None


def _key(event: Event) -> PartKey:
    return event["boot"], event["part_seq"]


def _duplicates(ledger: Iterable[Event], verdicts: Iterable[Event]) -> int:
    """Parts with a second, different verdict. A repeated message with the same number is none."""
    numbers: dict[PartKey, set[PartKey]] = {}
    for body in verdicts:
        numbers.setdefault((body["plc_boot_id"], body["part_seq"]), set()).add((body["boot_id"], body["seq"]))
    at_plc: int = sum(event["kind"] == "verdict" and event["how"] == "duplicate" for event in ledger)
    return at_plc + sum(len(found) - 1 for found in numbers.values())


def _gate(ledger: Sequence[Event]) -> Event:
    gates = [event for event in ledger if event["kind"] == "gate"]
    fired = [event for event in gates if event["fired"]]
    hit = {event["hit"] for event in fired}
    should = {
        event["part"]
        for event in ledger
        if event["kind"] == "verdict" and event["rejects"] and event["how"] == "in time"
    }
    passed = {event["part"] for event in gates}
    return {
        "gate_hits": sum(event["hit"] == event["part"] for event in fired),
        "gate_misses": len((should & passed) - hit),
        "gate_wrong_part": sum(event["hit"] != event["part"] for event in fired),
        "gate_without_verdict": sum(event["why"] == "no verdict" for event in gates),
        **_gate_error(gates),
    }


def _may_have_defects(line: Line, body: Event | None) -> bool:
    """Whether a good part has a grade that allows defects."""
    return bool(line.grades) and body is not None and body["grade"] != line.grades[0][0]


def _grades(line: Line, ledger: Sequence[Event]) -> Event:
    """What the gates of the grades did, compared with where the parts physically were."""
    done = [event for event in ledger if event["kind"] == "sorted"]
    return {
        "sorted": dict(sorted(Counter(event["grade"] for event in done).items())),
        "sorted_wrong_part": sum(event["hit"] != event["part"] for event in done),
        "sorted_false": sum(
            line.look.defective(event["part"]) is (event["grade"] == line.grades[0][0])
            for event in done
            if event["part"] is not None
        ),
    }


def _gate_error(gates: Sequence[Event]) -> Event:
    """How far parts were from the gate when it acted. Only gates that go by time have a bound."""
    known = [event for event in gates if event.get("error_mm") is not None]
    bounded = [event for event in known if event["bound_mm"] is not None]
    return {
        "gate_error_mm": _spread([abs(event["error_mm"]) for event in known]),
        "gate_bound_mm": _spread([event["bound_mm"] for event in bounded]),
        "gate_bound_broken": sum(abs(event["error_mm"]) > event["bound_mm"] + 0.1 for event in bounded),
    }


def _timing(triggers: dict[PartKey, Event], plc: dict[PartKey, Event], mqtt: dict[PartKey, Event]) -> Event:
    total, scanned, added, inference = [], [], [], []
    stages: dict[str, list[float]] = {name: [] for name in STAGES}
    for key, event in plc.items():
        body = mqtt.get(key)
        if (
            event["decision"] == Decision.NOT_INSPECTED
            or body is None
            or not event["written_ns"]
            or key not in triggers
        ):
            continue
        last = max(body["views"], key=lambda view: view["captured_ns"])
        captured_ns = last["captured_ns"]
        total.append((event["written_ns"] - captured_ns) / 1e6)
        scanned.append((event["scan_ns"] - captured_ns) / 1e6)
        added.append(total[-1] - last["inference_us"] / 1000 - last["exposure_us"] / 2000)
        inference += [view["inference_us"] / 1000 for view in body["views"]]
        for name, took_ns in _stages(body, event["written_ns"]).items():
            stages[name].append(took_ns / 1e6)
    return {
        "capture_to_plc_ms": _spread(total),
        "capture_to_plc_scan_ms": _spread(scanned),
        "inference_ms": _spread(inference),
        "added_latency_ms": _spread(added),
        "stages_ms": {name: _spread(values) for name, values in stages.items()},
    }


def _stages(body: Event, written_ns: int) -> dict[str, float]:
    """The time in each stage for the view that was ready last, in ns."""
    view = max(body["views"], key=lambda view: view["begun_ns"] + view["inference_us"] * 1000)
    exposed_ns = view["captured_ns"] + view["exposure_us"] * 500
    inferred_ns = view["begun_ns"] + view["inference_us"] * 1000
    marks = (exposed_ns, view["received_ns"], view["begun_ns"], inferred_ns, body["decided_ns"], written_ns)
    return {name: end - begin for name, (begin, end) in zip(STAGES, pairwise(marks), strict=True)}


def _position(line: Line, ledger: Sequence[Event], triggers: dict[PartKey, Event], mqtt: dict[PartKey, Event]) -> Event:
    zeros = {event["boot"]: event["zero"] for event in ledger if event["kind"] == "boot" and "zero" in event}
    errors, bounds, broken = [], [], 0
    for key, body in mqtt.items():
        for view in body["views"]:
            if key not in triggers or view["encoder_count"] is None or key[0] not in zeros:
                continue
            # Every simulated camera exposes when the part is at its place, whatever its clock shows.
            lane = abs(int(view["camera"].removeprefix("cam"))) - 1  # cam1, or cam-1 of a camera with several shots
            moved_mm = line.eye_mm(triggers[key]["part"]) + line.offset_mm(lane)
            if line.fire_ports:  # the PLC fires up to one scan late, and the camera knows when that was
                moved_mm = line.belt.position_mm(view["captured_ns"])
            truth = line.counter.read(zeros[key[0]]) + moved_mm * line.counts_per_mm
            told = round(view["encoder_count"])
            beyond = (view["encoder_count"] - told) * (-1 if line.falling else 1)
            error = abs(line.counter.near(told, truth) + beyond - truth)
            errors.append(error / line.counts_per_mm)
            bounds.append(view["error_counts"] / line.counts_per_mm)
            broken += error > view["error_counts"] + 1
    return {
        "position_error_mm": _spread(errors),
        "position_bound_mm": _spread(bounds),
        "position_bound_broken": broken,
    }


def _marks(line: Line, verdicts: Iterable[Event]) -> Event:
    """The marks on a web, compared with the defects that were drawn."""
    pieces = told_pieces(line, verdicts)
    told = told_marks(pieces)
    end_mm = (line.parts - 1) * line.pitch_mm  # the pictures end with the last piece
    drawn = [each for each in web_parts(line.seed, line.pitch_mm, line.parts).defects if each.to_mm < end_mm]
    found: list[list[ToldMark]] = [[] for _ in drawn]
    false = 0
    for mark in told:
        near = [at for at, defect in enumerate(drawn) if defect.is_near(mark.along_mm, mark.across_mm)]
        if near:
            found[near[0]].append(mark)
        else:
            false += mark.to_mm < end_mm
    unmarked = [defect for defect, marks in zip(drawn, found, strict=True) if not marks]
    blind = sum(not _is_inspected(pieces, each.along_mm) for each in unmarked)
    pairs = [(defect, marks[0]) for defect, marks in zip(drawn, found, strict=True) if marks]
    return {
        "web_m": round(sum(each.to_mm - each.from_mm for each in pieces) / 1000, 2),
        "defects_drawn": len(drawn),
        "defects_at_seams": sum(defect.at_seam for defect in drawn),
        "marks": len(told),
        "marks_missed": len(unmarked) - blind,
        "defects_not_inspected": blind,
        "marks_twice": sum(len(marks) > 1 for marks in found),
        "marks_at_seams_once": sum(
            len(marks) == 1 for defect, marks in zip(drawn, found, strict=True) if defect.at_seam
        ),
        "marks_false": false,
        "mark_along_error_mm": _spread([abs(mark.along_mm - defect.along_mm) for defect, mark in pairs]),
        "mark_across_error_mm": _spread([abs(mark.across_mm - defect.across_mm) for defect, mark in pairs]),
    }


def _is_inspected(pieces: Iterable[ToldPiece], along_mm: float) -> bool:
    covering = [piece for piece in pieces if piece.covers(along_mm, along_mm)]
    return bool(covering) and all(piece.inspected for piece in covering)


def _from_metrics(text: str) -> Event:
    def total(name: str) -> int:
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE)
        return int(sum(float(value) for value in found))

    info = re.search(r'^edge_inspector_station_info{.*model="([^"]*)".*provider="([^"]*)"', text, re.MULTILINE)
    return {
        "frames_completed": total("edge_inspector_frames_completed_total"),
        "frames_failed": total("edge_inspector_frames_failed_total"),
        "frames_evicted": total("edge_inspector_frames_evicted_total"),
        "frames_missed": total("edge_inspector_frames_missed_total"),
        "packets_resent": total("edge_inspector_camera_packets_resent_total"),
        "packets_missing": total("edge_inspector_camera_packets_missing_total"),
        "encoder_epochs": total("edge_inspector_encoder_epochs_total"),
        "model": info[1] if info else "",
        "execution_provider": info[2] if info else "",
        "rss_mb": round(total("process_resident_memory_bytes") / 2**20, 1),
    }


def _silences(ledger: Iterable[Event]) -> list[float]:
    """How long the PLC took the daemon for dead, for each time."""
    found, since = [], None
    for event in ledger:
        if event["kind"] == "edge":
            if not event["alive"]:
                since = event["at_ns"]
            elif since is not None:
                found.append(round((event["at_ns"] - since) / 1e6, 1))
                since = None
    return found


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p99, p99.9 and max by nearest rank, None without values. `n` is the number of values.

    Up to a thousand values p99.9 is the max.
    """
    ranked = sorted(values)

    def at(share: float) -> float | None:
        return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))], 3) if ranked else None

    return {"n": len(ranked), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": at(1.0)}
