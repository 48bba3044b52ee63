"""Compares the present basis of verdicts with the earlier one.

A change is reported as a condition until somebody gives RESET.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from edge_inspector.codes import ErrorCode
from edge_inspector.errors import DeviceError
from edge_inspector.inspection.basis import Basis, differences
from edge_inspector.records import Change, ModelInfo
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.store.basis import KeptBasis, keep_basis, kept_basis

log = logging.getLogger(__name__)

_MOST_TOLD = 5


class CriteriaWatch:
    """Runs in the daemon's main thread.

    Call `look` now and then, because a rebuilt session may have loaded another model file.
    """

    def __init__(self, state_dir: Path, basis: Basis, recipes: Collection[int], conditions: Conditions) -> None:
        self._state_dir = state_dir
        self._basis = basis
        self._recipes = recipes
        self._conditions = conditions
        self._models: dict[int, ModelInfo] = {}
        self._kept: dict[int, KeptBasis] | None = None

    def look(self, keep: Callable[[Change], object]) -> bool:
        """Report differences to the earlier basis, also to that of an earlier run, and `keep` them as changes.

        Returns whether another session runs now.
        """
        first = not self._models
        # A model that was never open does not know yet what runs it. It is compared when it is open.
        models = {each: self._basis.model_of(each) for each in self._recipes if self._basis.model_of(each).provider}
        changed = [each for each, model in models.items() if model != self._models.get(each)]
        if not changed:
            return False
        self._models = models
        if self._kept is None:
            self._kept = self._read()
        for recipe_id in changed:
            self._compare(self._kept, recipe_id, keep)
        self._keep()
        return not first

    def acknowledge(self) -> None:
        """A person has seen the change and given RESET."""
        self._kept = {each: replace(kept, unseen="") for each, kept in (self._kept or {}).items()}
        self._keep()

    def _read(self) -> dict[int, KeptBasis]:
        try:
            return kept_basis(self._state_dir)
        except DeviceError as error:
            self._conditions.set(ErrorCode.CRITERIA_CHANGED, "station", str(error), until_reset=True)
            return {}

    def _compare(self, kept: dict[int, KeptBasis], recipe_id: int, keep: Callable[[Change], object]) -> None:
        now, before = self._basis.of(recipe_id), kept.get(recipe_id)
        changed = differences(before.basis, now) if before is not None else []
        for what in changed:
            log.warning("recipe %d is judged differently than before: %s", recipe_id, what)
            keep(Change("files", "criteria", f"recipe {recipe_id} {what.name}", before=what.before, after=what.now))
        unseen = _words(list(map(str, changed))) or (before.unseen if before is not None else "")
        if unseen:
            self._conditions.set(ErrorCode.CRITERIA_CHANGED, f"recipe {recipe_id}", unseen, until_reset=True)
        kept[recipe_id] = KeptBasis(now, unseen)

    def _keep(self) -> None:
        try:
            keep_basis(self._state_dir, self._kept or {})
        except DeviceError as error:
            log.warning("%s", error)


def _words(changed: list[str]) -> str:
    more = [f"{len(changed) - _MOST_TOLD} more in the log"] if len(changed) > _MOST_TOLD else []
    return "; ".join([*changed[:_MOST_TOLD], *more])
