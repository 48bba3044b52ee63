"""`edge-inspector guard`: teach what pictures of good parts are like, from kept pictures or from a folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from edge_inspector.cameras.folder import load_index
from edge_inspector.codes import Decision
from edge_inspector.commands.arguments import add_station, add_why, whole
from edge_inspector.commands.changes import write_down
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
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
from edge_inspector.records import Image
from edge_inspector.runtime.clock import utc_of
from edge_inspector.station.load import load_cameras, read_state_dir
from edge_inspector.store.guards import write_guard
from edge_inspector.store.picture_file import FRAME_PX, camera_picture, content_of
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path

_KEPT_MOST = 200  # of the latest accepted parts: more would tell nothing new
_GOOD = {"", "good", "free"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which recipe, and which pictures."""
    add_station(parser)
    parser.add_argument("--recipe", type=whole, required=True, metavar="ID", help="id of the recipe of these parts")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="folder with one camera's pictures of good parts (default: the archive's pictures of accepted parts)",
    )
    parser.add_argument(
        "--camera", metavar="NAME", help="camera that took --pictures, if the station has several cameras"
    )
    add_why(parser)


def run(given: argparse.Namespace) -> int:
    """Write the guard, and print what was taught and what it cannot tell."""
    taught = teach_guard(given.station, given.recipe, given.pictures, given.camera, why=given.why)
    for camera, guard in taught.items():
        passing = ", ".join(blind_to(guard))
        weak = f". It cannot tell these from a part: {passing}" if passing else ""
        print(f"recipe {given.recipe}, {camera}: taught from {guard.parts} pictures{weak}")
    return 0


def teach_guard(
    station: Path, recipe_id: int, pictures: Path | None, camera: str | None, *, why: str = ""
) -> dict[str, CameraGuard]:
    """Write the guard of a recipe; what was taught, by camera. A running station takes it up by itself.

    From the kept pictures of the latest accepted parts or, with `pictures`, from a folder of one `camera`'s pictures
    of good parts. Raises ConfigError, EdgeInspectorError.
    """
    state_dir = read_state_dir(station)
    names = sorted(load_cameras(station))
    if pictures is None:
        seen = {name: list(_kept(state_dir, recipe_id, name)) for name in names}
    else:
        seen = {_only(camera, names): list(_in_folder(pictures))}
    taught: dict[str, CameraGuard] = {}
    for name, found in seen.items():
        try:
            taught[name] = learn(found)
        except ValueError as error:
            raise EdgeInspectorError(_too_few(name, error, pictures)) from error
    path = guard_path(state_dir, recipe_id)
    before = read_guard(path).cameras if path.exists() else {}
    told = ", ".join(f"{name}: {each.parts} pictures" for name, each in taught.items())
    write_down(
        state_dir,
        "picture guard",
        f"recipe {recipe_id}",
        before=", ".join(sorted(before)) or "none",
        after=told,
        why=why,
    )
    guard = PictureGuard(recipe_id=recipe_id, taught_utc=utc_of(time.monotonic_ns()), cameras={**before, **taught})
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        write_guard(path, guard)
    except OSError as error:
        raise EdgeInspectorError(f"{path}: cannot be written: {error.strerror}") from error
    return taught


def _only(camera: str | None, names: list[str]) -> str:
    if camera is None and len(names) == 1:
        return names[0]
    if camera not in names:
        raise ConfigError([Fault("--camera", f"name the camera of these pictures: {', '.join(names)}")])
    return camera


def _too_few(camera: str, error: ValueError, pictures: Path | None) -> str:
    if pictures is not None:
        return f"{pictures}: {error}"
    return (
        f"{camera}: {error}. The archive keeps one accepted part in archive.accepted_one_in. Wait, or use "
        "--pictures DIR, or press Teach on the page's Health view while good parts run"
    )


def _kept(state_dir: Path, recipe_id: int, camera: str) -> Iterator[Signature]:
    results = Results(results_path(state_dir))
    count = 0
    for row in results.parts(decision=Decision.ACCEPT, recipe=recipe_id, limit=100 * _KEPT_MOST):
        story = results.part(row.id) if row.picture is not None else None
        for view in story.views if story is not None else ():
            image = _read(view.picture.image) if view.camera == camera and view.picture is not None else None
            if image is not None:
                yield signature(image)
                count += 1
        if count >= _KEPT_MOST:
            return


def _in_folder(folder: Path) -> Iterator[Signature]:
    for item in load_index(folder):
        if item.defect_class not in _GOOD:
            continue
        image = _read(item.image)
        if image is None:
            raise EdgeInspectorError(f"{item.image}: is missing or no picture")
        yield signature(image)


def _read(path: Path) -> Image | None:
    try:
        return camera_picture(content_of(path), FRAME_PX)
    except ValueError:
        return None
