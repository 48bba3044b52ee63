"""A station that has judged five parts by recipe 1, of which the memory has four masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.page import plant_of
from support.verdicts import frame, placed, verdict

from edge_inspector.runtime.clock import utc_of
from edge_inspector.station.calibrating import model_id
from edge_inspector.store.results_file import results_path
from edge_inspector.store.results_writer import ResultsWriter, StoredVerdict
from edge_inspector.web.plant import Plant


def plant_with_good_parts(folder: Path) -> Plant:
    """Parts 10 to 50, accepted. Part 10 is clean, 20 and 30 have a region of 5 mask pixels, and 40 has one of 10."""
    plant = plant_of(folder)
    model = f"{model_id(plant.model_of(1))}int8/cpu"
    writer = ResultsWriter(results_path(plant.station.state_dir))
    for number in (10, 20, 30, 40, 50):
        if number < 50:
            mask = np.zeros((1, 20, 30), np.uint8)
            mask[0, : number // 20, :5] = 255
            plant.album.put(frame(frame_id=number), mask)
        part = verdict(number, views=(placed(frame_id=number),), recipe_id=1, model=model)
        writer.add([StoredVerdict(part, utc_of(part.decided_ns), "", {})], [])
    writer.close()
    return plant
