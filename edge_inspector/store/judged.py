"""The judged parts of a station that are known to be good or bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from edge_inspector.codes import Decision
from edge_inspector.store.challenges import read_challenges
from edge_inspector.store.results import Results
from edge_inspector.store.rows import PartRow, PartStory

Belief = Literal["marked", "all"]
"""Which parts are good: those that a person marked good, or all that nobody marked otherwise."""
BELIEFS: Final[tuple[Belief, ...]] = ("marked", "all")


@dataclass(frozen=True, slots=True)
class WantedParts:
    """The parts of one recipe by one model, whose ids begin with `model`, and of them the newest `limit` of each kind.

    `one_in` is the station's `archive.accepted_one_in`. If all parts are good, only the parts are taken whose pictures
    are kept whatever was decided on them. Among all kept pictures are far too many of doubtful parts.
    """

    recipe_id: int
    model: str
    belief: Belief
    _: KW_ONLY
    one_in: int
    limit: int
    since: datetime | None = None
    until: datetime | None = None


def known_parts(results: Results, state_dir: Path, wanted: WantedParts) -> Iterator[tuple[bool, PartStory]]:
    """Each part, and whether it is bad. Challenge parts are none of the product's. Raises DeviceError."""
    challenged = {(part.boot_id, part.seq) for run in read_challenges(state_dir) for part in run.parts}
    stories = (
        found
        for row in _rows(results, wanted)
        if row.model.startswith(wanted.model)
        and row.decision is not Decision.NOT_INSPECTED
        and (row.boot_id, row.seq) not in challenged
        and (found := results.part(row.id)) is not None
    )
    for story in stories:
        called = story.called
        if story.missing_views:
            continue  # what nobody saw of it may be good or bad
        if called == "defect":
            yield True, story
        elif called == "good" if wanted.belief == "marked" else _sampled(story, wanted) and called != "unsure":
            yield False, story


def _sampled(story: PartStory, wanted: WantedParts) -> bool:
    return story.row.seq % wanted.one_in == 0


def _rows(results: Results, wanted: WantedParts) -> list[PartRow]:
    """Marked parts first, and those of the sample that nobody has marked."""
    since, until, recipe, limit = wanted.since, wanted.until, wanted.recipe_id, wanted.limit
    marked = results.parts(since_utc=since, until_utc=until, recipe=recipe, labelled=True, limit=limit)
    if wanted.belief == "marked":
        return marked
    sample = results.parts(
        since_utc=since, until_utc=until, recipe=recipe, labelled=False, one_in=wanted.one_in, limit=limit
    )
    return [*marked, *sample]
