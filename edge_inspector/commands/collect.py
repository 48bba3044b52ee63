"""`edge-inspector collect`: run a station that has no model yet. No part is inspected, and its pictures are kept."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from edge_inspector.commands.arguments import add_station
from edge_inspector.daemon import Daemon
from edge_inspector.driver_table import UNTAUGHT
from edge_inspector.inspection.recipe import Criteria, Recipe, read_recipe
from edge_inspector.runtime.logs import set_up_logging
from edge_inspector.station.load import Station, load_station, read_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which station."""
    add_station(parser)


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    path: Path = given.station
    recipes = _recipes(path)
    classes = sorted({name for recipe in recipes for name in recipe.classes}) or ["defect"]
    instead = {"segmenter": {"driver": UNTAUGHT, "settings": {"classes": classes}}, "shadow": None}
    station = untaught(load_station(path, instead))
    for line in _said(path, recipes):
        print(line, flush=True)
    set_up_logging()
    return Daemon(station).run()


def untaught(station: Station) -> Station:
    """The same without any limit: nothing is found, so nothing is rejected as defective either."""
    recipes = {number: Criteria(criteria.recipe, {}) for number, criteria in station.recipes.items()}
    return replace(station, limits={}, recipes=recipes)


def _recipes(path: Path) -> list[Recipe]:
    file, _, _ = read_places(path)
    return [read_recipe(path.parent / each) for each in (file.station.recipe, *file.station.recipes)]


def _said(path: Path, recipes: list[Recipe]) -> list[str]:
    rejecting = [recipe.name for recipe in recipes if recipe.on_not_inspected == "reject"]
    gate = (
        f"The gate rejects every part ({', '.join(rejecting)}: on_not_inspected = 'reject'): keep its air off"
        if rejecting
        else "The gate lets every part pass (on_not_inspected = 'accept')"
    )
    return [
        f"collecting: every part is NOT_INSPECTED (inference_failed), and its pictures are kept. {gate}",
        "On the page, say which parts are good or bad as they pass, and draw the defects of the bad ones.",
        "Ctrl-C ends. Then type:",
        f"  edge-inspector export {path} --format index --out my-pictures",
        "  edge-inspector model quick my-pictures --name mine",
    ]
