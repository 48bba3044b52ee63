"""The archive for tests: its thread's stage with mailbox, album and folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from support.verdicts import frame

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.records import ArchiveItem
from edge_inspector.runtime.clock import Moment, moment
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.mailbox import Mailbox
from edge_inspector.stages.archive import Archive
from edge_inspector.station.tables import ArchiveTable, DriftTable
from edge_inspector.store.album import Album
from edge_inspector.store.lock import StateLock
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.sidecar import MaskForm, StationFacts
from edge_inspector.watches.drift import DriftWatch
from edge_inspector.watches.pictures import PictureGuards

FACTS = StationFacts("line-1", {3: MaskForm("m", ("crack",), 2)}, {"cam1": 0.5, "cam2": 0.5})


class Bench:
    """An archive with its mailbox and album, stepped by hand or by a worker."""

    def __init__(
        self,
        folder: Path,
        recipes: Mapping[int, Criteria] = MappingProxyType({}),
        clock: Callable[[], Moment] = moment,
        lock: StateLock | None = None,
        *,
        forwards: bool = False,
        **settings: object,
    ) -> None:
        self.inbox: Mailbox[ArchiveItem] = Mailbox("archive", 4096)
        self.album = Album(2**20)
        self.conditions = Conditions()
        self.conditions.phase(StationState.READY)
        self.folder = folder
        table = ArchiveTable.model_validate({"min_free_mb": 0, **settings})
        self.drift = DriftWatch(folder, DriftTable(window_parts=200), self.conditions)
        self.guards = PictureGuards(folder, recipes, self.album, self.conditions)
        self.archive = Archive(
            folder,
            settings=table,
            facts=FACTS,
            inbox=self.inbox,
            album=self.album,
            drift=self.drift,
            guards=self.guards,
            conditions=self.conditions,
            lock=lock,
            clock=clock,
            forward_within_s=0.0 if forwards else None,
        )
        self.results = Results(results_path(folder))

    def seen(self, number: int, camera: str = "cam1") -> None:
        self.album.put(frame(camera, number), np.full((1, 20, 30), 99, np.uint8))

    def held(self, what: str) -> bool:
        return self.conditions.held(ErrorCode.ARCHIVE_INCOMPLETE, what)

    def why(self, code: ErrorCode) -> dict[str, str]:
        """The reasons of what holds under this code, by what it is about."""
        return {each.subject: each.why for each in self.conditions.reasons() if each.code is code}

    def pictures(self) -> list[str]:
        return sorted(path.name.partition("-")[2] for path in self.folder.rglob("*.png") if "-mask" not in path.name)
