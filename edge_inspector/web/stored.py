"""Pictures and masks of parts, from the disk or while they are still in memory."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_inspector.records import Image
from edge_inspector.store.rows import StoredView
from edge_inspector.web.access import RequestError
from edge_inspector.web.plant import Plant

LARGEST_FILE = 64 << 20


def pictures_of(plant: Plant, view: StoredView, recipe_id: int) -> tuple[Image | None, Image | None]:
    """Image and mask, from the disk. If they are not archived, from memory while they are still there.

    The mask is that of the model of the part's recipe.
    """
    if view.picture is not None:
        return _read(view.picture.image), _stacked(_read(view.picture.mask), len(plant.model_of(recipe_id).classes))
    kept = plant.album.get(view.camera, view.frame_id)
    if kept is None or kept.frame.captured_ns != view.captured_ns:
        return None, None
    return kept.image, kept.by(plant.recipe_of(recipe_id).model)


def _stacked(planes: Image | None, count: int) -> Image | None:
    """The mask as classes x height x width. On disk the classes lie below each other.

    None for a mask of another model with another number of classes.
    """
    if planes is None or planes.ndim != 2 or planes.shape[0] % count:
        return None
    return planes.reshape(count, -1, planes.shape[1])


def bytes_of(path: Path) -> bytes:
    """The content of a picture's file. Raises RequestError."""
    try:
        if path.stat().st_size <= LARGEST_FILE:
            return path.read_bytes()
    except OSError as error:
        raise RequestError(404, "this picture is gone") from error
    raise RequestError(404, "this file is too large to be a picture")


def _read(path: Path | None) -> Image | None:
    if path is None:
        return None
    decoded = cv2.imdecode(np.frombuffer(bytes_of(path), np.uint8), cv2.IMREAD_UNCHANGED)
    return None if decoded is None else np.asarray(decoded, np.uint8)
