"""An ensemble of one binary net per class, instead of one net for all. Each net separates its class from the rest."""

import numpy as np

from edge_inspector.training.data.augment import Source, TrainingSample
from edge_inspector.training.data.folder import Image


class OneClass:
    """A source for one binary net of an ensemble: one class against everything else."""

    def __init__(self, source: Source, index: int) -> None:
        self.classes: tuple[str, ...] = (source.classes[index],)
        self.channels = source.channels
        self._source, self._index = source, index

    def draw(self, rng: np.random.Generator) -> TrainingSample:
        """A sample, two out of three with the class."""
        wanted = rng.random() < 0.65
        for _ in range(30):
            sample = self._source.draw(rng)
            own = sample.classes == 1 + self._index
            if own.any() or not wanted:
                break
        kept = own.astype(np.uint8)
        return TrainingSample(sample.image, kept, sample.certainty * kept)

    def calibration(self, count: int, rng: np.random.Generator) -> list[Image]:
        """The images of the source."""
        return self._source.calibration(count, rng)
