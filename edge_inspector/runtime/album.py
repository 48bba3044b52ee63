"""The most recent pictures, for the archive, the operator page and a shadow model."""

from __future__ import annotations

import threading
from collections import OrderedDict

from edge_inspector.records import Frame, Image, Picture


class Album:
    """As many pictures as fit into `capacity_bytes`. The oldest are dropped first. Any thread may put and get."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._size = 0
        self._pictures: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._latest: dict[str, Picture] = {}
        self._lock = threading.Lock()

    def put(self, frame: Frame, mask: Image | None) -> None:
        """Keep the frame without copying it. A reader that holds a frame keeps it alive."""
        picture = Picture(frame, mask)
        if _bytes(picture) > self._capacity:
            return
        key = (frame.camera, frame.frame_id)
        with self._lock:
            self._drop(key)
            self._pictures[key] = self._latest[frame.camera] = picture
            self._size += _bytes(picture)
            while self._size > self._capacity:
                self._drop(next(iter(self._pictures)))

    def get(self, camera: str, frame_id: int) -> Picture | None:
        """This picture, if it is still there."""
        with self._lock:
            return self._pictures.get((camera, frame_id))

    def latest(self, camera: str) -> Picture | None:
        """This camera's picture that was put last, if it is still there."""
        with self._lock:
            return self._latest.get(camera)

    def _drop(self, key: tuple[str, int]) -> None:
        gone = self._pictures.pop(key, None)
        if gone is None:
            return
        self._size -= _bytes(gone)
        if self._latest.get(gone.frame.camera) is gone:
            del self._latest[gone.frame.camera]


def _bytes(picture: Picture) -> int:
    return picture.image.nbytes + (picture.mask.nbytes if picture.mask is not None else 0)
