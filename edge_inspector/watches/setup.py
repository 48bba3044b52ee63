"""Which recipe a camera is set up for: exposure, gain or light that differ from product to product."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from edge_inspector.drivers import FeatureValue
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import Scene

Features = Mapping[str, FeatureValue]


class CameraSetup:
    """The features of one camera, as the recipes want them. The camera's thread owns it.

    A camera keeps its features while a part that needs them has not been before it. `views` are the camera's views.
    `in_force()` is the recipe of the next part, and `scene()` the parts on the belt a moment ago. A part of which the
    scene does not know yet may find other features. Then its picture does not fit, and it is not inspected.
    """

    def __init__(
        self,
        camera: str,
        views: Collection[str],
        recipes: Mapping[int, Criteria],
        *,
        in_force: Callable[[], int],
        scene: Callable[[], Scene],
    ) -> None:
        self._views = views
        self._recipes = {number: criteria.recipe for number, criteria in recipes.items()}
        self._features = {number: recipe.features.get(camera, {}) for number, recipe in self._recipes.items()}
        self._in_force = in_force
        self._scene = scene
        self.now: Features | None = None
        """What the camera has now. None if nobody knows."""

    @property
    def wanted(self) -> Features:
        """What the camera should have now."""
        features = self._features[self._in_force()]
        if self.now is None or self.now == features:
            return features
        return (
            self.now
            if any(self._waits(part.part.recipe_id, part.cameras) for part in self._scene().parts)
            else features
        )

    @property
    def fits(self) -> frozenset[int]:
        """The recipes that may judge a picture which the camera takes as it is now."""
        return frozenset(number for number, features in self._features.items() if features == self.now)

    @property
    def recipe_id(self) -> int:
        """The recipe whose limits hold for the camera's pictures now."""
        chosen = self._in_force()
        return chosen if chosen in self.fits else min(self.fits, default=chosen)

    def _waits(self, recipe_id: int, seen: Collection[str]) -> bool:
        """Whether a part of this recipe still needs a picture with the features of now."""
        views = self._recipes[recipe_id].views
        return self._features[recipe_id] == self.now and any(view in views and view not in seen for view in self._views)
