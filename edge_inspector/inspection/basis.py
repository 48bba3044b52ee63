"""The basis of a verdict and its fingerprint. Verdicts with the same fingerprint were judged in the same way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import ModelInfo


class Basis:
    """Everything that decides, by recipe, and a fingerprint of it. `model()` is the model that runs now.

    `others` are the models by name, if recipes name several: then each recipe has its own. `scales` are each camera's
    millimetres per pixel across the belt and along it, because limits in mm depend on them.
    """

    def __init__(
        self,
        recipes: Mapping[int, Criteria],
        model: Callable[[], ModelInfo],
        scales: Mapping[str, tuple[float, float]],
        others: Callable[[], Mapping[str, ModelInfo]] = dict,
    ) -> None:
        self._recipes = recipes
        self._scales = scales
        self._model = model
        self._others = others
        self._known: dict[int, tuple[ModelInfo, str]] = {}

    @property
    def model(self) -> ModelInfo:
        """The model that runs now. It may change when its session is rebuilt."""
        return self._model()

    def model_of(self, recipe_id: int) -> ModelInfo:
        """The model that looks for this recipe. It may change when its session is rebuilt."""
        others = self._others()
        return others[self._recipes[recipe_id].recipe.model] if others else self._model()

    def fingerprint(self, recipe_id: int) -> str:
        """Sixteen hex digits that change with the recipe, the limits in force, the model file and its runtime."""
        model, known = self.model_of(recipe_id), self._known.get(recipe_id)
        if known is None or (known[0] is not model and known[0] != model):
            known = self._known[recipe_id] = model, _fingerprint(self.of(recipe_id))
        return known[1]

    def of(self, recipe_id: int) -> dict[str, str]:
        """Everything that decides, each under a name that a person understands."""
        criteria, model = self._recipes[recipe_id], self.model_of(recipe_id)
        # Keys that were added later count only if they are set, so that fingerprints of before stay the same.
        later = {name for name in ("grades", "features") if not getattr(criteria.recipe, name)}
        recipe = criteria.recipe.model_dump(exclude={"classes", "alarm", "revision", *later})
        limits = {name: limit.model_dump() for name, limit in criteria.limits.items()}
        return {
            "model": f"{model.name}-{model.version}",
            "model file": model.sha256,
            "first stage": model.before,
            "run by": f"{model.precision} on {model.provider}, {model.runtime}",
            **{f"mm_per_px {camera}": f"{across:g} x {along:g}" for camera, (across, along) in self._scales.items()},
            **dict(_flat("limits", limits)),
            **dict(_flat("recipe", recipe)),
        }


class Difference(NamedTuple):
    """One thing that decides, and has changed."""

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} before, now {self.now}"


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Each thing that has changed."""
    return [
        Difference(name, before.get(name, "nothing"), now.get(name, "nothing"))
        for name in {**now, **before}
        if before.get(name) != now.get(name)
    ]


def _fingerprint(basis: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]


def _flat(where: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(f"{where}.{key}", part)
    else:
        yield where, f"{value:.9g}" if isinstance(value, float) else json.dumps(value)
