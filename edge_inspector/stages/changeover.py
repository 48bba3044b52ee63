"""The thread that loads the model of a recipe whose model is not open, while the line runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import EdgeInspectorError
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.runtime.backoff import Backoff
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.realtime import go_behind
from edge_inspector.segmenters.models import Models

log = logging.getLogger(__name__)

_LOOK_S = 0.05


class Changeover:
    """Opens what a recipe in use needs, and says so until it is open. `in_use()` are the recipes of parts on the line.

    Besides the models that are always open there is one more at most. So a second one waits until no part needs the
    one before it.
    """

    name = "changeover"
    beat_within_s = 900.0  # TensorRT may build an engine for minutes

    def __init__(self, models: Models, in_use: Callable[[], Sequence[Criteria]], conditions: Conditions) -> None:
        self._models = models
        self._in_use = in_use
        self._conditions = conditions
        self._told: set[str] = set()
        self._backoff = Backoff(first_s=1.0, longest_s=10.0)

    def start(self) -> None:
        """Nothing to open yet."""
        go_behind()

    def step(self) -> None:
        """Open one model, if one is missing."""
        recipes = {criteria.recipe.model: criteria.recipe for criteria in self._in_use()}
        missing = [name for name in recipes if name not in self._models.opened]
        self._take_back(missing)
        if not missing or not self._backoff.due(wait_s=_LOOK_S):
            if not missing:
                time.sleep(_LOOK_S)
            return
        name = missing[0]
        self._told.add(name)
        if not self._makes_room(recipes.keys()):
            self._changing(name, "it waits until the parts of the product before it have left the belt")
            time.sleep(_LOOK_S)
            return
        self._changing(name, f"recipe {recipes[name].id} is chosen, and its model is being loaded")
        self._load(name)

    def stop(self, *, failed: bool) -> None:
        """Nothing to close: the daemon closes all models."""

    def _makes_room(self, wanted: Collection[str]) -> bool:
        """Close what no part needs. Whether nothing is left that is not always open."""
        more = self._models.opened - self._models.kept
        for name in more - set(wanted):
            self._models.close(name)
        return not more & set(wanted)

    def _load(self, name: str) -> None:
        begun_s = time.monotonic()
        try:
            self._models.open(name)
        except EdgeInspectorError as error:
            self._conditions.clear(ErrorCode.RECIPE_CHANGING, name)
            self._conditions.set(ErrorCode.MODEL_NOT_LOADED, name, str(error))
            self._backoff.failed()
            return
        log.info("model %s is open after %.1f s", name, time.monotonic() - begun_s)
        self._backoff.succeeded()

    def _changing(self, name: str, why: str) -> None:
        if not self._conditions.held(ErrorCode.MODEL_NOT_LOADED, name):
            self._conditions.set(ErrorCode.RECIPE_CHANGING, name, why)

    def _take_back(self, missing: Collection[str]) -> None:
        for name in self._told.difference(missing):
            self._told.discard(name)
            for code in (ErrorCode.RECIPE_CHANGING, ErrorCode.MODEL_NOT_LOADED):
                self._conditions.clear(code, name)
