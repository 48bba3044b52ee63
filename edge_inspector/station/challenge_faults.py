"""Faults of the station file's [challenge] table that show only beside recipes and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.station.tables import ChallengeTable


def challenge_faults(table: ChallengeTable, recipes: Mapping[int, Criteria]) -> Iterator[Fault]:
    """Each part belongs to a recipe of the station, and what is due can be done."""
    known = ", ".join(map(str, sorted(recipes)))
    for at, part in enumerate(table.parts):
        if part.recipe not in recipes:
            yield Fault(f"challenge.parts.{at}.recipe", f"there is no recipe {part.recipe}. There are: {known}")
        elif unknown := sorted(set(part.finds) - recipes[part.recipe].limits.keys()):
            classes = ", ".join(recipes[part.recipe].limits)
            yield Fault(f"challenge.parts.{at}.finds", f"the model does not know {unknown[0]!r}. It knows: {classes}")
        elif any((each.recipe, each.name) == (part.recipe, part.name) for each in table.parts[:at]):
            yield Fault(f"challenge.parts.{at}.name", f"recipe {part.recipe} has another part {part.name!r}")
    asks = table.each_shift or table.every_h > 0
    for recipe_id, criteria in recipes.items():
        expected = {part.expect for part in table.parts if part.recipe == recipe_id}
        if asks and "reject" not in expected:
            yield Fault("challenge.parts", f"recipe {recipe_id} has no part that must be rejected, but a schedule")
        if expected and table.on_failure == "block" and criteria.recipe.on_not_inspected == "accept":
            what = f"blocks nothing: recipe {recipe_id} accepts parts that are not inspected. Set it to warn"
            yield Fault("challenge.on_failure", what)
