"""The report of a replay, for people: what has changed, with pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from edge_inspector import __version__
from edge_inspector.documents import Document
from edge_inspector.records import Defect, Image, Verdict, View
from edge_inspector.replay.comparing import Comparison, Pair, word
from edge_inspector.shifts.files import Shift

_PARTS_SHOWN = 60
_WIDE_PX = 480
_RED, _BLUE = (0, 0, 255), (255, 64, 0)  # blue, green, red


def report_of(shift: Shift, found: Comparison, *, asked: str, doubts: list[str], cost: tuple[float, float]) -> Document:
    """The report. `asked` says what was changed. `cost` is that of an escape and that of a false reject."""
    head, changed = shift.head, found.changed
    document = Document(f"Replay of a shift of {head.station}", f"The shift began at {head.began}. {asked}")
    document.pairs(
        [
            ("parts", len(found.pairs)),
            ("verdicts that are equal to the byte", len(found.pairs) - len(found.unequal)),
            ("parts with another decision", len(changed)),
            ("recorded with", f"version {head.version}, model {head.model.label}, {head.machine}"),
            ("replayed with", f"version {__version__}"),
        ]
    )
    for what in (*doubts, *shift.remarks):
        document.text(what, "bad")
    document.section("Changes")
    document.table(
        ["then", "now", "parts", "cost at most"],
        [(then, now, count, _cost(then, now, count, cost)) for (then, now), count in sorted(found.moves.items())],
    )
    document.text(
        "The cost assumes the worst: a part that is accepted now and was not is an escape, and a part that is rejected "
        "now and was not is a good one. Look at the parts below to know."
    )
    document.section("Parts with another decision")
    document.text("A red circle is a defect of now. A blue one is a defect of then that is none now.")
    for pair in changed[:_PARTS_SHOWN]:
        _show(document, shift, pair)
    if len(changed) > _PARTS_SHOWN:
        document.text(f"{len(changed) - _PARTS_SHOWN} more parts are not shown.")
    return document


def worst_cost(found: Comparison, cost: tuple[float, float]) -> float:
    """What the changes cost at most."""
    return sum(_cost(then, now, count, cost) for (then, now), count in found.moves.items())


def _cost(then: str, now: str, count: int, cost: tuple[float, float]) -> float:
    escape, false_reject = cost
    if now == "ACCEPT":
        return count * escape
    return count * false_reject if then == "ACCEPT" else 0.0


def _show(document: Document, shift: Shift, pair: Pair) -> None:
    part = pair.some.part
    document.text(f"Part {part.part_seq}: {_told(pair.then)} then, {_told(pair.now)} now.")
    then = {_of(placed.view): placed.view.defects for placed in (pair.then.views if pair.then else ())}
    for placed in pair.some.views:
        view = placed.view
        image = shift.picture(view.camera, view.captured_ns)
        if image is not None:
            shown = _drawn(shift, image, view, then.get(_of(view), ()))
            document.picture(shown, f"part {part.part_seq}, camera {view.camera}")


def _of(view: View) -> tuple[str, int]:
    return view.camera, view.captured_ns


def _told(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no verdict"
    defects = ", ".join(f"{each.defect_class} {each.length_mm:.1f} mm" for each in verdict.defects)
    return f"{word(verdict)} ({verdict.reason.label}{defects and ': '}{defects})"


def _drawn(shift: Shift, image: Image, view: View, then: Sequence[Defect]) -> bytes:
    """The picture with a circle around each defect. What is one now is drawn over what was one then."""
    across, along = shift.head.scales[view.camera]
    shown = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image[:, :, :3].copy()
    for colour, defects in ((_BLUE, then), (_RED, view.defects)):
        for defect in defects:
            centre = (round(defect.x_mm / across), round(defect.y_mm / along))
            cv2.circle(shown, centre, max(6, round(defect.length_mm / across / 2)), colour, 2)
    if shown.shape[1] > _WIDE_PX:
        shown = cv2.resize(shown, None, fx=_WIDE_PX / shown.shape[1], fy=_WIDE_PX / shown.shape[1])
    return bytes(cv2.imencode(".png", shown)[1])
