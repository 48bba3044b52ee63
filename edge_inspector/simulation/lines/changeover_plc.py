"""The simulated PLC of a line that makes two products by turns, and the files of the second one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.simulation.plc import SimulatedPlc, main
from edge_inspector.simulation.station_files import models_dir

FIRST, SECOND = "tile-1.1", "plank-2.0"
_BATCH = 10  # parts, until the line makes the other product


class ChangeoverPlc(SimulatedPlc):
    """The process. It asks for the recipe of the other product after each batch."""

    def _obey(self) -> None:
        super()._obey()
        self._program.recipe_id = 1 + self._program.trigger_seq // _BATCH % 2


def add_second_product(folder: Path) -> None:
    """The second product has its own model: the same net under another name, whose classes have other names.

    It is seen by another camera as well, and with more light.
    """
    models, recipe = folder / "models", folder / "recipe.toml"
    for name in (FIRST, SECOND):
        shutil.copytree(models_dir() / FIRST, models / name, dirs_exist_ok=True)
    manifest = models / SECOND / "manifest.toml"
    text = manifest.read_text().replace('name = "tile"\nversion = "1.1"', 'name = "plank"\nversion = "2.0"')
    for name in read_manifest(models / FIRST).classes:
        text = text.replace(f'"{name}"', f'"wood-{name}"').replace(f"limits.{name}]", f"limits.wood-{name}]")
    manifest.write_text(text)
    text = recipe.read_text()
    recipe.write_text(text + "[features.cam1]\nexposure_us = 200\n")
    second = text.replace("id = 1\n", "id = 2\n").replace("ceramic tile", "wooden plank").replace(FIRST, SECOND)
    second = second.replace('views = ["cam1"]', 'views = ["cam1", "cam2"]')
    (folder / "second.toml").write_text(second + "[features.cam1]\nexposure_us = 215\n")


if __name__ == "__main__":
    sys.exit(main(kind=ChangeoverPlc))
