"""The models of a station's recipes: which of them are open, and which of them looks at a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from edge_inspector.drivers import Segmenter
from edge_inspector.errors import InferenceError
from edge_inspector.records import Image, ModelInfo
from edge_inspector.runtime.machine import resident_mb

log = logging.getLogger(__name__)


class Models:
    """The segmenters of a station by the name of their model's folder. That of the first recipe is first.

    Any thread may ask, and several may `segment`. One thread at a time opens and closes. `kept` stay open for good.
    """

    def __init__(self, segmenters: Mapping[str, Segmenter]) -> None:
        self._segmenters = dict(segmenters)
        self._open: frozenset[str] = frozenset()
        self._failed: set[str] = set()
        self.kept: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._segmenters)

    @property
    def opened(self) -> frozenset[str]:
        """The models that can look at pictures now."""
        return self._open

    @property
    def infos(self) -> dict[str, ModelInfo]:
        """Each model's description. What its session adds is in it as soon as it was open once."""
        return {name: segmenter.info for name, segmenter in self._segmenters.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of all models. Those of the first come first, so that their numbers do not depend on the rest."""
        return tuple(dict.fromkeys(name for info in self.infos.values() for name in info.classes))

    def preload(self, budget_mb: float, memory_mb: Callable[[], float] = resident_mb) -> dict[str, float]:
        """Open every model, so that a wrong one is refused at the start. Returns the memory in MB that each took.

        The first model stays open, and so does each other one that fits into `budget_mb` with those before it. The
        rest are closed again. Raises ConfigError.
        """
        took: dict[str, float] = {}
        for name in self._segmenters:
            before_mb, first = memory_mb(), not took
            self.open(name)
            took[name] = max(0.0, memory_mb() - before_mb)
            others_mb = sum(took[each] for each in self.kept if each != next(iter(took)))
            if first or others_mb + took[name] <= budget_mb:
                self.kept |= {name}
            else:
                log.info("model %s is loaded when its recipe is chosen: it needs %.0f MB", name, took[name])
                self.close(name)
        return took

    def open(self, name: str) -> None:
        """Open a model, or open it again. Raises ConfigError."""
        self._segmenters[name].open()
        self._open |= {name}
        self._failed.discard(name)

    def close(self, name: str) -> None:
        """Release a model's memory. Nobody may want it any more."""
        self._open -= {name}
        self._segmenters[name].close()

    def reopen(self) -> None:
        """Open those again that have failed. Raises ConfigError."""
        for name in sorted(self._failed):
            self.open(name)

    def segment(self, images: Sequence[Image], wanted: Sequence[Collection[str]]) -> list[dict[str, Image]]:
        """For each image the masks of those `wanted` models that are open, by their names.

        Each model takes its images in batches of its own. Raises InferenceError.
        """
        masks: list[dict[str, Image]] = [{} for _ in images]
        for name in self._segmenters:
            places = [at for at, names in enumerate(wanted) if name in names and name in self._open]
            try:
                self._look(name, places, images, masks)
            except InferenceError:
                if name in self._open:  # otherwise it was closed meanwhile, because no part needs it any more
                    self._failed.add(name)
                    raise
        return masks

    def close_all(self) -> None:
        """Release all of them. Safe at any time, also twice."""
        self._open = frozenset()
        for segmenter in self._segmenters.values():
            segmenter.close()

    def _look(
        self, name: str, places: Sequence[int], images: Sequence[Image], masks: Sequence[dict[str, Image]]
    ) -> None:
        segmenter, first = self._segmenters[name], 0
        while first < len(places):
            some = places[first : first + segmenter.max_batch]
            first += len(some)
            for at, mask in zip(some, segmenter.segment([images[each] for each in some]), strict=True):
                masks[at][name] = mask
