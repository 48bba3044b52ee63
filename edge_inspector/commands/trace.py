"""`edge-inspector trace`: one part's whole story, for a person to read."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.codes import Reason
from edge_inspector.commands.arguments import add_state
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.runtime.clock import iso
from edge_inspector.station.load import read_state_dir
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.rows import PartRow, PartStory, StoredView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose part, and which."""
    add_state(parser)
    parser.add_argument(
        "part", metavar="PART", help="number of the part: the PLC's, or with # that of the results file, as #4711"
    )


def run(given: argparse.Namespace) -> int:
    """Print the story."""
    print(trace(results_path(read_state_dir(given.station)), given.part))
    return 0


def trace(results_file: Path, part: str) -> str:
    """The story of the newest part with the PLC's number `part`, or of the one that the store calls `#part`.

    Raises EdgeInspectorError where there is no such part.
    """
    number = part.removeprefix("#")
    if not (number.isascii() and number.isdigit() and len(number) < 20) or int(number) >= 2**63:
        raise EdgeInspectorError(
            f"{part}: write the PLC's number of the part, as 4711, or its number in the results file, as #4711"
        )
    results = Results(results_file)
    namesakes: list[PartRow] = []
    if part.startswith("#"):
        story = results.part(int(number))
    else:
        namesakes = results.parts(part_seq=int(number), limit=10)
        story = results.part(namesakes[0].id) if namesakes else None
    if story is None:
        raise EdgeInspectorError(
            f"part {part} is not in {results_file}. It was never judged, or it was deleted because of its age"
        )
    return "\n".join([*_lines(story), *_others(namesakes[1:])])


def _lines(story: PartStory) -> Iterator[str]:
    row = story.row
    grade = f"   grade {row.grade}" if row.grade else ""
    yield f"part {row.part_seq} (#{row.id})   {row.decision.name}{_because(row.reason)}{grade}   {iso(row.utc)}"
    criteria = f", criteria {row.criteria}" if row.criteria else ""
    yield f"  recipe {row.recipe_id} ({row.recipe_hash}), model {row.model}{criteria}"
    yield f"  station run {row.boot_id:08x}, its verdict {row.seq}, PLC run {row.plc_boot_id:08x}"
    if story.positioned:
        bound = "" if story.error_mm is None else f", views placed within {story.error_mm:.2f} mm"
        yield f"  belt: photo-eye at count {story.trigger_count}, gate at count {story.due_count}{bound}"
    else:
        yield f"  belt: position unknown (raw count {story.trigger_count})"
    if row.review:
        yield f"  to review: the model was not sure{' (labelled since)' if row.labelled else ''}"
    yield ""
    zero_ns = story.announced_ns or min([story.decided_ns, *(view.captured_ns for view in story.views)])
    yield from (f"{(at_ns - zero_ns) / 1e6:10.1f} ms  {what}" for at_ns, what in sorted(_events(story)))
    yield ""
    yield from (
        f"  defect: {each.camera} {each.defect_class} {each.area_mm2:.1f} mm2, {each.length_mm:.1f} mm long, "
        f"confidence {each.confidence:.2f}, at {each.x_mm:.1f}, {each.y_mm:.1f} mm"
        for each in story.defects
    )
    yield from (f"  picture: {view.picture.image}" for view in story.views if view.picture is not None)
    yield from (
        f"  label: {each.camera or 'whole part'}: {each.label} {each.defect_class} "
        f"({each.user}, {iso(each.utc, 'seconds')})"
        for each in story.labels
    )


def _events(story: PartStory) -> Iterator[tuple[int, str]]:
    if story.announced_ns:
        yield story.announced_ns, "the station read its announcement from the PLC"
    for view in story.views:
        yield from _looks(view)
    late = story.decided_ns > story.due_ns
    missing = f", without {', '.join(story.missing_views)}" if story.missing_views else ""
    yield story.decided_ns, f"decided: {story.row.decision.name}{_because(story.row.reason)}{missing}"
    yield story.due_ns, f"earliest time at the gate{', before it was decided' if late else ''}"
    for each in story.deliveries:
        left_ms = (story.due_ns - each.delivered_ns) / 1e6
        yield (
            each.delivered_ns,
            f"{each.link} had it, {abs(left_ms):.1f} ms {'before' if left_ms >= 0 else 'AFTER'} the gate",
        )


def _looks(view: StoredView) -> Iterator[tuple[int, str]]:
    place = (
        "position unknown"
        if view.encoder_count is None
        else f"count {view.encoder_count:.1f} +- {view.error_counts:.1f}"
    )
    yield view.captured_ns, f"{view.camera} exposed frame {view.frame_id} for {view.exposure_ns / 1e6:.1f} ms, {place}"
    if view.received_ns:
        yield view.received_ns, f"{view.camera}: frame received"
    if view.begun_ns:
        yield view.begun_ns, f"{view.camera}: model begins"
        yield view.begun_ns + view.inference_ns, f"{view.camera}: model done after {view.inference_ns / 1e6:.1f} ms"
    if view.failure is not Reason.NONE:
        yield max(view.captured_ns, view.received_ns), f"{view.camera}: not judged: {view.failure.label}"


def _others(namesakes: list[PartRow]) -> Iterator[str]:
    if namesakes:
        yield ""
        yield "  earlier parts with this number: " + ", ".join(
            f"#{row.id} ({iso(row.utc, 'seconds')}, {row.decision.name})" for row in namesakes
        )


def _because(reason: Reason) -> str:
    return "" if reason is Reason.NONE else f" ({reason.label})"
