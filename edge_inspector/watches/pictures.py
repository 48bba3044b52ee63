"""The picture guards of the running station: which ones are in force, and how new ones are taught from parts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.errors import ConfigError
from edge_inspector.inspection.picture_guard import (
    CameraGuard,
    PictureGuard,
    Signature,
    blind_to,
    guard_path,
    learn,
    read_guard,
    signature,
)
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import Verdict
from edge_inspector.runtime.clock import utc_of
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.album import Album
from edge_inspector.store.guards import write_guard

log = logging.getLogger(__name__)

TAUGHT_PARTS = 50


@dataclass(slots=True)
class _Lesson:
    """A recipe whose guard is being taught: the signatures up to now, by camera."""

    recipe_id: int
    seen: defaultdict[str, list[Signature]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """Whether a recipe's guard is taught, or is being taught with `parts` of `wanted` parts up to now."""

    recipe_id: int
    taught: bool
    teaching: bool
    parts: int
    wanted: int


class PictureGuards:
    """Any thread may ask for a guard or start to teach one. The archive's thread does the work.

    `recipes` are those that may judge. A guard that `edge-inspector guard` has taught is loaded automatically.
    """

    def __init__(self, state_dir: Path, recipes: Mapping[int, Criteria], album: Album, conditions: Conditions) -> None:
        self._state_dir = state_dir
        self._recipes = recipes
        self._album = album
        self._conditions = conditions
        self._in_force: dict[int, dict[str, CameraGuard]] = {}
        self._blind: dict[int, dict[str, str]] = {}
        self._versions: dict[int, int] = {}
        self._begin = 0
        self._lesson: _Lesson | None = None

    def of(self, recipe_id: int, camera: str) -> CameraGuard | None:
        """The guard of this recipe for this camera's pictures. None if there is none."""
        return self._in_force.get(recipe_id, {}).get(camera)

    def teach(self, recipe_id: int) -> None:
        """Teach this recipe's guard from the next accepted parts. The old guard ends at once."""
        self._begin = recipe_id

    def teaching(self, recipe_id: int) -> Teaching:
        """The progress of teaching this recipe's guard."""
        lesson, views = self._lesson, self._guarded_views(recipe_id)
        learning = lesson is not None and lesson.recipe_id == recipe_id
        parts = min((len(lesson.seen.get(camera, ())) for camera in views), default=0) if lesson and learning else 0
        taught = all(self.of(recipe_id, camera) is not None for camera in views)
        return Teaching(
            recipe_id=recipe_id,
            taught=taught,
            teaching=learning or self._begin == recipe_id,
            parts=parts,
            wanted=TAUGHT_PARTS,
        )

    def add(self, verdict: Verdict) -> None:
        """Add one part. The guard learns from it if it was accepted and its recipe is being taught."""
        lesson = self._lesson
        if lesson is None or verdict.recipe_id != lesson.recipe_id or verdict.decision is not Decision.ACCEPT:
            return
        for placed in verdict.views:
            picture = self._album.get(placed.view.camera, placed.view.frame_id)
            if picture is not None:
                lesson.seen[placed.view.camera].append(signature(picture.image))
        if all(len(lesson.seen[camera]) >= TAUGHT_PARTS for camera in self._guarded_views(lesson.recipe_id)):
            self._finish(lesson, verdict.decided_ns)

    def look(self) -> None:
        """Load guards taught elsewhere, start requested lessons, and report recipes that have no guard."""
        begin, self._begin = self._begin, 0
        if begin:
            self._lesson = _Lesson(begin)
            self._in_force.pop(begin, None)
            log.info("picture guard of recipe %d: it learns from the next %d accepted parts", begin, TAUGHT_PARTS)
        for recipe_id in self._recipes:
            self._load(recipe_id)
            self._tell(recipe_id)

    def _guarded_views(self, recipe_id: int) -> list[str]:
        recipe = self._recipes[recipe_id].recipe
        return [camera for camera in recipe.views if recipe.picture_limits(camera).guard == "taught"]

    def _finish(self, lesson: _Lesson, now_ns: int) -> None:
        self._lesson = None
        cameras = {camera: learn(lesson.seen[camera]) for camera in self._guarded_views(lesson.recipe_id)}
        path = guard_path(self._state_dir, lesson.recipe_id)
        taught = PictureGuard(recipe_id=lesson.recipe_id, taught_utc=utc_of(now_ns), cameras=cameras)
        self._put(lesson.recipe_id, cameras)
        try:
            write_guard(path, taught)
            self._versions[lesson.recipe_id] = path.stat().st_mtime_ns
        except OSError as error:
            log.error("picture guard: %s cannot be written: %s. It ends with this run", path, error.strerror)  # noqa: TRY400 -- the message says it all
        log.info("picture guard of recipe %d: taught from %d parts", lesson.recipe_id, TAUGHT_PARTS)

    def _load(self, recipe_id: int) -> None:
        if self._lesson is not None and self._lesson.recipe_id == recipe_id:
            return
        path = guard_path(self._state_dir, recipe_id)
        try:
            version = path.stat().st_mtime_ns
        except OSError:
            return
        if version == self._versions.get(recipe_id):
            return
        self._versions[recipe_id] = version
        try:
            self._put(recipe_id, read_guard(path).cameras)
        except ConfigError as error:
            log.error("no picture guard: %s. Teach it again with edge-inspector guard", error.faults[0])  # noqa: TRY400 -- the fault says it all
            self._in_force.pop(recipe_id, None)

    def _put(self, recipe_id: int, cameras: dict[str, CameraGuard]) -> None:
        self._in_force[recipe_id] = cameras
        self._blind[recipe_id] = {camera: ", ".join(blind_to(guard)) for camera, guard in cameras.items()}

    def _tell(self, recipe_id: int) -> None:
        views = self._guarded_views(recipe_id)
        bare = [camera for camera in views if self.of(recipe_id, camera) is None]
        subject = f"recipe {recipe_id}"
        blind = {camera: names for camera, names in self._blind.get(recipe_id, {}).items() if names and camera in views}
        if not bare and blind:
            camera, names = next(iter(blind.items()))
            why = (
                f"the picture guard of {camera} cannot tell these from a part: {names}. Teach it again with good parts"
            )
            self._conditions.set(ErrorCode.PICTURES_UNGUARDED, subject, why)
        elif not bare:
            self._conditions.clear(ErrorCode.PICTURES_UNGUARDED, subject)
        elif self._lesson is not None and self._lesson.recipe_id == recipe_id:
            done = self.teaching(recipe_id).parts
            why = f"the picture guard is being taught: {done} of {TAUGHT_PARTS} accepted parts"
            self._conditions.set(ErrorCode.PICTURES_UNGUARDED, subject, why)
        else:
            why = f"nothing guards {', '.join(bare)} against a picture without a part. Run `edge-inspector guard`"
            self._conditions.set(ErrorCode.PICTURES_UNGUARDED, subject, why)
