"""The content of the live page, collected four times a second while somebody watches."""

from __future__ import annotations

import base64
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.records import Image, Scene, Verdict
from edge_inspector.runtime.clock import utc_text
from edge_inspector.runtime.conditions import WARNINGS
from edge_inspector.web.history import History
from edge_inspector.web.pictures import jpeg, overlaid
from edge_inspector.web.plant import Plant
from edge_inspector.web.shift import idle_now, product_now, rejects_in_a_row
from edge_inspector.web.why import why

_PICTURE_PX = 448
_THUMB_PX = 144
_LARGE_PX = 640
_CLOSER = 2  # a thumbnail is cut out, so that a defect is large enough to be seen
_STRIP = 14
_LINK_LOST = (ErrorCode.PLC_LOST, ErrorCode.BROKER_LOST)


class Live:
    """`news()` is what changed since its last call. `all()` is all that a new watcher needs."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._history = History(plant.results)
        self._mm_per_px = {camera.name: camera.mm_per_px for camera in plant.station.file.views}
        self._pictures: dict[str, dict[str, Any]] = {}
        self._strip: deque[dict[str, Any]] = deque(maxlen=_STRIP)
        self._not_accepted: deque[dict[str, Any]] = deque(maxlen=_STRIP)
        self._reject: dict[str, Any] | None = None
        self._told_seq = 0
        self._belt = (0, 0.0, 0)

    def news(self) -> dict[str, Any]:
        """State, belt and figures. Of pictures and verdicts only the new ones."""
        self._plant.album.look()
        scene = self._plant.scene()
        fresh = [verdict for verdict in scene.verdicts if verdict.seq > self._told_seq][-_STRIP:]
        entries = [self._entry(verdict) for verdict in fresh]
        self._strip.extend(entries)
        self._not_accepted.extend(entry for entry in entries if entry["decision"] != Decision.ACCEPT)
        if fresh:
            self._told_seq = fresh[-1].seq
        return self._now(scene) | {"pictures": self._new_pictures(), "strip": entries, **self._new_reject(fresh)}

    def all(self, news: dict[str, Any]) -> dict[str, Any]:
        """`news`, and the earlier pictures and verdicts that are still shown."""
        strip = {entry["seq"]: entry for entry in (*self._not_accepted, *self._strip)}
        shown = [strip[seq] for seq in sorted(strip)]
        return news | {"whole": True, "pictures": self._pictures, "strip": shown, "reject": self._reject}

    def _new_reject(self, fresh: Sequence[Verdict]) -> dict[str, Any]:
        """The last part that was rejected, with a large picture, if it is a new one. It is held until the next one."""
        rejected = [verdict for verdict in fresh if verdict.decision is Decision.REJECT]
        if not rejected:
            return {}
        last = rejected[-1]
        criteria = self._plant.station.recipes.get(last.recipe_id)
        self._reject = self._entry(last, _LARGE_PX, closer=1) | {
            "utc": utc_text(last.decided_ns),
            "why": why(last.defects, criteria.limits if criteria else {}),
        }
        return {"reject": self._reject}

    def _now(self, scene: Scene) -> dict[str, Any]:
        conditions = self._plant.conditions
        return {
            "boot": f"{self._plant.boot_id:08x}",
            "utc": utc_text(time.monotonic_ns()),
            "recipe": self._plant.status().recipe_id,
            "state": conditions.state.value,
            "conditions": [
                {
                    "code": held.code.name.lower(),
                    "subject": held.subject,
                    "why": held.why,
                    "since": utc_text(held.since_ns),
                    "fault": conditions.is_fault(held.code, held.subject),
                    "warning": held.code in WARNINGS,
                }
                for held in conditions.reasons()
            ],
            "uninspected": self._plant.recipe.on_not_inspected,
            "cameras": {
                view.name: not conditions.held(ErrorCode.CAMERA_LOST, camera.name)
                for camera in self._plant.station.file.cameras
                for view in camera.views
            },
            "links": {
                link.name: not any(conditions.held(code, link.name) for code in _LINK_LOST)
                for link in self._plant.station.file.plcs
            },
            "belt": self._belt_now(scene),
            "figures": figures_of(scene.verdicts) | idle_now(scene.verdicts),
            **product_now(self._plant),
            "history": self._history.now(),
            **_roll_now(scene),
        }

    def _belt_now(self, scene: Scene) -> dict[str, Any]:
        now, timeline, scale = time.monotonic_ns(), self._plant.timeline, self._plant.geometry.counts_per_mm
        count = timeline.estimate(now) if timeline.fresh(now) else None
        if count is None:
            return {"known": False, "speed": 0, "parts": []}
        before_ns, before, epoch = self._belt
        passed_s = (now - before_ns) / 1e9
        if not 0.1 < passed_s < 2 or epoch != timeline.epoch:  # the first look for a long time, or another epoch
            earlier = timeline.estimate(now - 100_000_000)
            before, passed_s = (count if earlier is None else earlier), 0.1
        self._belt = (now, count, timeline.epoch)
        speed = (count - before) / scale / passed_s
        return {"known": True, "speed": speed, "parts": self._parts_on_belt(scene, count)}

    def _parts_on_belt(self, scene: Scene, count: float) -> list[dict[str, Any]]:
        """Each part's number, its distance from the photo-eye in mm, and its decision, or 0 before it has one."""
        epoch, scale = self._plant.timeline.epoch, self._plant.geometry.counts_per_mm
        gone = self._plant.recipe.part_length_mm * 2 * scale
        known = [(part.part, 0) for part in scene.parts]
        known += [
            (verdict.part, int(verdict.decision)) for verdict in scene.verdicts if count < verdict.part.due_count + gone
        ]
        return [
            {"n": part.part_seq, "x": (count - part.trigger_count) / scale, "d": decision}
            for part, decision in known
            if part.positioned and part.epoch == epoch
        ]

    def _new_pictures(self) -> dict[str, dict[str, Any]]:
        fresh, thresholds = {}, self._plant.thresholds()
        for camera in self._plant.station.file.views:
            picture = self._plant.album.latest(camera.name)
            shown = self._pictures.get(camera.name)
            if picture is None or (shown is not None and shown["frame"] == picture.frame.frame_id):
                continue
            image = overlaid(picture.image, self._plant.shown(picture), thresholds, _PICTURE_PX)
            fresh[camera.name] = {
                "frame": picture.frame.frame_id,
                "utc": utc_text(picture.frame.captured_ns),
                "jpeg": _text(jpeg(image)),
            }
        self._pictures |= fresh
        return fresh

    def _entry(self, verdict: Verdict, width: int = _THUMB_PX, closer: int = _CLOSER) -> dict[str, Any]:
        return {
            "seq": verdict.seq,
            "part": verdict.part.part_seq,
            "decision": int(verdict.decision),
            "reason": verdict.reason.label,
            "classes": sorted({defect.defect_class for defect in verdict.defects}),
            "review": verdict.review,
            "boot": f"{verdict.boot_id:08x}",
            "jpeg": self._thumb(verdict, width, closer),
        }

    def _thumb(self, verdict: Verdict, width: int, closer: int) -> str:
        worst = max(verdict.defects, key=lambda defect: defect.area_mm2, default=None)
        views = sorted(
            (placed.view for placed in verdict.views), key=lambda view: worst is None or view.camera != worst.camera
        )
        for view in views:
            picture = self._plant.album.get(view.camera, view.frame_id)
            if picture is not None:
                thresholds = self._plant.thresholds(verdict.recipe_id)
                mask = self._plant.shown(picture, verdict.recipe_id)
                whole = overlaid(picture.image, mask, thresholds, width * closer)
                scale = whole.shape[1] / picture.image.shape[1] / self._mm_per_px[view.camera]
                at = (whole.shape[1] / 2, whole.shape[0] / 2)
                if worst is not None and worst.camera == view.camera:
                    at = (worst.x_mm * scale, worst.y_mm * scale)
                return _text(jpeg(_cut(whole, at, (width, width * 3 // 4))))
        return ""


def _roll_now(scene: Scene) -> dict[str, Any]:
    """The roll of the newest piece of a web, and how far it was judged."""
    stretch = scene.verdicts[-1].stretch if scene.verdicts else None
    return {} if stretch is None else {"roll": {"name": stretch.roll, "to_m": stretch.to_mm / 1000}}


def figures_of(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Figures of the last parts: their rate, their decisions, the latencies and the time left.

    Parts that were not inspected took no time. With them, a model that is too slow would look fast.
    """
    inspected = [verdict for verdict in verdicts if verdict.decision is not Decision.NOT_INSPECTED]
    judged = sorted(verdict.latency_ns / 1e6 for verdict in inspected)
    left = [(verdict.due_ns - verdict.decided_ns) / 1e6 for verdict in inspected]
    span_s = (verdicts[-1].decided_ns - verdicts[0].decided_ns) / 1e9 if len(verdicts) > 1 else 0.0
    decisions = Counter(verdict.decision for verdict in verdicts)
    return {
        "parts": len(verdicts),
        "span_s": span_s,
        "per_hour": (len(verdicts) - 1) / span_s * 3600 if span_s > 0 else 0,
        "accept": decisions[Decision.ACCEPT],
        "reject": decisions[Decision.REJECT],
        "not_inspected": decisions[Decision.NOT_INSPECTED],
        "latency_ms": judged[len(judged) // 2] if judged else None,
        "latency_worst_ms": judged[-1] if judged else None,
        "left_ms": min(left, default=None),
        "rejects_in_a_row": rejects_in_a_row(verdicts),
    }


def _cut(image: Image, at: tuple[float, float], size: tuple[int, int]) -> Image:
    """A piece of `size` around `at` (x, y), or as near to it as the border allows."""
    left = round(min(max(0.0, at[0] - size[0] / 2), max(0, image.shape[1] - size[0])))
    top = round(min(max(0.0, at[1] - size[1] / 2), max(0, image.shape[0] - size[1])))
    return np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
