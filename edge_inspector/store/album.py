"""The most recent pictures, for the archive, the operator page and a shadow model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping

from edge_inspector.records import Frame, Image, Picture

_LOOKS_NS = 5_000_000_000  # the live page asks four times a second


class Album:
    """As many pictures as fit into `capacity_bytes`. The oldest are dropped first. Any thread may put and get.

    Pictures that were released are only for people who look. At most `released_bytes` of them stay, at most
    `unseen_bytes` while nobody looks, and the latest of each camera. Not set: as many as fit.
    """

    def __init__(self, capacity_bytes: int, released_bytes: int | None = None, unseen_bytes: int | None = None) -> None:
        self._capacity = capacity_bytes
        self._released_max = capacity_bytes if released_bytes is None else released_bytes
        self._unseen_max = self._released_max if unseen_bytes is None else unseen_bytes
        self._looked_ns: int | None = None
        self._size = self._released_size = 0
        self._pictures: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._released: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._latest: dict[str, Picture] = {}
        self._lock = threading.Lock()

    def put(self, frame: Frame, mask: Image | None, by_model: Mapping[str, Image] | None = None) -> None:
        """Keep the frame without copying it. A reader that holds a frame keeps it alive.

        `by_model` has the masks of all models that looked, if the station has several.
        """
        picture = Picture(frame, mask, by_model or {})
        if _bytes(picture) > self._capacity:
            return
        key = (frame.camera, frame.frame_id)
        with self._lock:
            self._drop(key)
            self._pictures[key] = self._latest[frame.camera] = picture
            self._size += _bytes(picture)
            while self._size > self._capacity:
                self._drop(next(iter(self._released or self._pictures)))

    def release(self, camera: str, frame_id: int) -> None:
        """The part of this picture has its verdict, and what is to be kept of it is on the disk."""
        key = (camera, frame_id)
        with self._lock:
            picture = self._pictures.get(key)
            if picture is None or key in self._released:
                return
            self._released[key] = picture
            self._released_size += _bytes(picture)
            self._thin_out(self._released_max if self._is_looked_at else self._unseen_max)

    def look(self) -> None:
        """Somebody looks at pictures. For some seconds more of the released ones stay."""
        self._looked_ns = time.monotonic_ns()

    def get(self, camera: str, frame_id: int) -> Picture | None:
        """This picture, if it is still there."""
        with self._lock:
            return self._pictures.get((camera, frame_id))

    def latest(self, camera: str) -> Picture | None:
        """This camera's picture that was put last, if it is still there."""
        with self._lock:
            return self._latest.get(camera)

    @property
    def _is_looked_at(self) -> bool:
        return self._looked_ns is not None and time.monotonic_ns() - self._looked_ns < _LOOKS_NS

    def _thin_out(self, most: int) -> None:
        if self._released_size <= most:
            return
        for key, picture in list(self._released.items()):
            if self._released_size <= most:
                return
            if self._latest.get(key[0]) is not picture:
                self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        gone = self._pictures.pop(key, None)
        if gone is None:
            return
        self._size -= _bytes(gone)
        if self._released.pop(key, None) is not None:
            self._released_size -= _bytes(gone)
        if self._latest.get(gone.frame.camera) is gone:
            del self._latest[gone.frame.camera]


def _bytes(picture: Picture) -> int:
    if picture.by_model:
        return picture.image.nbytes + sum(mask.nbytes for mask in picture.by_model.values())
    return picture.image.nbytes + (picture.mask.nbytes if picture.mask is not None else 0)
