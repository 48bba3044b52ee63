"""Takes what is sent to this station, and the orders about it. What it refuses changes nothing.

The page asks from its threads, and the stage `rollout` from its own. One lock keeps them apart.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from edge_inspector.errors import ConfigError, StateError
from edge_inspector.records import Change, RolloutTold
from edge_inspector.runtime.clock import moment
from edge_inspector.settings import Table
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.audit import append
from edge_inspector.store.ledger import (
    Arrived,
    Bounds,
    Ledger,
    RolloutStep,
    Trial,
    TrialCounts,
    model_place,
    read_ledger,
    recipe_place,
    rollout_dir,
    write_ledger,
)
from edge_inspector.store.package import Package, digest_of, read_package, unpack
from edge_inspector.texts import printable
from edge_inspector.watches.rollout_checks import Checks, RolloutRefusedError


class RolloutOrder(Table):
    """What an admin's command wants of this station. `why` is for the audit trail."""

    id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$")]
    order: Literal["shadow", "judge", "keep", "back"]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bounds: Bounds
    why: Annotated[str, Field(max_length=300)] = ""


class RolloutDesk:
    """The ledger of a running station. Every method raises RolloutRefusedError, StateError."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._state_dir = station.state_dir
        self._checks = Checks(station)
        self._lock = threading.Lock()
        self._ledger = read_ledger(station.state_dir) if station.file.rollout.accept else Ledger()
        self.refused = ""
        """Why the latest package was refused. Empty after one that was taken, or after `seen`."""

    @property
    def ledger(self) -> Ledger:
        """What is known now."""
        return self._ledger

    @property
    def told(self) -> RolloutTold | None:
        """The latest roll-out. None if there was none."""
        latest = self._ledger.latest
        return None if latest is None else latest.told

    def seen(self) -> None:
        """Somebody has seen what was refused, and what goes back by itself."""
        with self._lock:
            self.refused, ledger = "", self._ledger
            found = {"trial": ledger.trial, "last": ledger.last}
            if any(each is not None and each.unseen for each in found.values()):
                seen = {key: each and each.model_copy(update={"unseen": False}) for key, each in found.items()}
                self._write(ledger.model_copy(update=seen))

    def status(self) -> dict[str, Any]:
        """What the command asks for. Whoever may look at the page may see it."""
        ledger = self._ledger
        return {
            "station": self._station.file.station.name,
            "accepts": self._station.file.rollout.accept,
            "most": self._station.file.rollout.package_mb << 20,
            "arrived": None if ledger.arrived is None else ledger.arrived.digest,
            "trial": None if ledger.trial is None else ledger.trial.model_dump(mode="json"),
            "last": None if ledger.last is None else ledger.last.model_dump(mode="json"),
            "models": sorted({each.recipe.model for each in self._station.recipes.values()}),
        }

    def take(self, content: bytes) -> Arrived:
        """Check a package and put its files ready. It is in force nowhere yet."""
        with self._lock:
            self._refuse_off()
            try:
                arrived = self._taken(content)
            except RolloutRefusedError as error:
                self.refused = printable(str(error))
                raise
            self.refused = ""
            return arrived

    def _taken(self, content: bytes) -> Arrived:
        ledger = self._ledger
        held = [each for each in (ledger.trial, ledger.arrived) if each is not None]
        for each in held:
            if each.digest == digest_of(content):
                return each
        if ledger.trial is not None:
            raise RolloutRefusedError(
                f"roll-out {ledger.trial.id} of {ledger.trial.name} is under way. It must end first"
            )
        try:
            package = read_package(content, self._station.file.trust.keys)
        except ValueError as error:
            raise RolloutRefusedError(str(error)) from error
        arrived = Arrived(kind="model" if package.is_folder else "recipe", name=package.name, digest=package.digest)
        if arrived.kind == "model" and arrived.name in self._names_in_use():
            raise RolloutRefusedError(f"{arrived.name} is at this station already. Give the model a higher version")
        self._clear()
        self._unpack(package, arrived)
        try:
            self._checks.refuse_old(arrived, self._ledger)
        except RolloutRefusedError:
            self._clear()
            raise
        self._write(ledger.model_copy(update={"arrived": arrived}))
        return arrived

    def order(self, order: RolloutOrder, by: str) -> Change | None:
        """Do what is ordered, or plan it for the next stop. The change for the audit trail, None if nothing is new."""
        with self._lock:
            self._refuse_off()
            trial, last = self._ledger.trial, self._ledger.last
            if trial is None and last is not None and last.id == order.id:
                return self._after_the_end(order, last)
            if trial is None:
                return self._begin(order, by)
            if trial.id != order.id:
                what = f"roll-out {trial.id} of {trial.name}, ordered by {trial.by}, is under way. It must end first"
                raise RolloutRefusedError(what)
            return self._go_on(order, trial, by)

    def refuse_void(self) -> None:
        """End a trial whose place in the station's files somebody has changed meanwhile: the files count."""
        with self._lock:
            trial = self._ledger.trial
            if trial is None or trial.step is RolloutStep.WAITS or self._is_applied(trial):
                return
            why = f"somebody has changed {trial.replaces} in the station's files, and they count"
            change = Change("station", f"rollout {trial.kind}", trial.replaces, before=trial.name, why=why)
            append(self._state_dir, change, moment().utc)
            self._write(self._ledger.ended(RolloutStep.BACK, why, unseen=True))

    def note(self, **change: Any) -> None:
        """Change what is known of the trial."""
        with self._lock:
            trial = self._ledger.trial
            if trial is not None:
                self._write(self._with_trial(trial.model_copy(update=change)))

    def change(self, *, after_id: int, rate_before: float) -> Change | None:
        """Bring the trial to where it is wanted, for the next start. Written down first. None if nothing is wanted."""
        with self._lock:
            trial = self._ledger.trial
            if trial is None or trial.wanted is None:
                return None
            change = self._change_of(trial)
            append(self._state_dir, change, moment().utc)
            if trial.wanted is RolloutStep.BACK:
                self._write(self._ledger.ended(RolloutStep.BACK))
                return change
            fresh = {
                "step": trial.wanted,
                "wanted": None,
                "passed": False,
                "counts": TrialCounts(),
                "after_id": after_id,
                "rate_before": rate_before,
                "starts": 0,
            }
            self._write(self._with_trial(trial.model_copy(update=fresh)))
            return change

    def _is_applied(self, trial: Trial) -> bool:
        if trial.kind == "recipe":
            return trial.base == self._checks.base_of(trial)
        judging = {each.recipe.model for each in self._station.recipes.values()}
        return (trial.name if trial.step is RolloutStep.JUDGES else trial.replaces) in judging

    def _change_of(self, trial: Trial) -> Change:
        why = trial.said or f"{trial.why or 'no reason given'} (roll-out {trial.id}, ordered by {trial.by})"
        before = _told(trial.name, trial.step) or trial.replaces
        after = _told(trial.name, trial.wanted) or trial.replaces
        return Change("station", f"rollout {trial.kind}", trial.replaces, before=before, after=after, why=why)

    def _begin(self, order: RolloutOrder, by: str) -> Change | None:
        arrived = self._ledger.arrived
        if order.order == "back":
            return None
        if arrived is None or arrived.digest != order.digest:
            raise RolloutRefusedError("the package has not arrived here. Send it first")
        first = RolloutStep.SHADOW if order.bounds.pictures else RolloutStep.JUDGES
        if order.order != {RolloutStep.SHADOW: "shadow", RolloutStep.JUDGES: "judge"}[first]:
            raise RolloutRefusedError("it must run as the shadow first, because bounds.pictures is not 0")
        trial = Trial(
            **arrived.model_dump(),
            id=order.id,
            replaces=self._checks.replaced_by(arrived),
            base=self._checks.base_of(arrived),
            bounds=order.bounds,
            by=by,
            why=order.why,
            wanted=first,
            since=moment().utc,
        )
        for step in dict.fromkeys([first, RolloutStep.JUDGES]):  # nobody need watch what may never judge
            self._try(trial, step)
        self._write(self._ledger.model_copy(update={"trial": trial, "arrived": None}))
        return self._ordered(trial, order, by)

    def _go_on(self, order: RolloutOrder, trial: Trial, by: str) -> Change | None:
        if order.order == "back":
            return self._take_back(order, trial, by)
        if trial.wanted is RolloutStep.BACK:
            raise RolloutRefusedError(f"it goes back: {trial.said}")
        if order.order == "keep":
            if trial.step is not RolloutStep.JUDGES or not trial.passed:
                raise RolloutRefusedError("it has not passed here yet")
            kept = self._ledger.kept(self._checks.product_of(trial), self._checks.version_of(trial))
            append(self._state_dir, self._ordered(trial, order, by), moment().utc)
            self._write(kept)
            return None
        if order.order == "shadow" or trial.step is RolloutStep.JUDGES or trial.wanted is RolloutStep.JUDGES:
            return None
        if not trial.passed:
            raise RolloutRefusedError("it has not passed as the shadow yet")
        self._try(trial, RolloutStep.JUDGES)
        self._write(self._with_trial(trial.model_copy(update={"wanted": RolloutStep.JUDGES})))
        return self._ordered(trial, order, by)

    def _take_back(self, order: RolloutOrder, trial: Trial, by: str) -> Change | None:
        if trial.wanted is RolloutStep.BACK:
            return None
        said = f"{order.why or 'it was called back'} (ordered by {by})"
        if trial.step is RolloutStep.WAITS:
            self._write(self._ledger.ended(RolloutStep.BACK, said))
        else:
            self._write(self._with_trial(trial.model_copy(update={"wanted": RolloutStep.BACK, "said": said})))
        return self._ordered(trial, order, by)

    def _after_the_end(self, order: RolloutOrder, last: Trial) -> Change | None:
        wanted = {"keep": RolloutStep.KEPT, "back": RolloutStep.BACK}.get(order.order)
        if wanted is last.step:
            return None
        if last.step is RolloutStep.KEPT:
            raise RolloutRefusedError("it was kept. Send the former one with a higher version")
        raise RolloutRefusedError(f"it has gone back: {last.said}")

    def _ordered(self, trial: Trial, order: RolloutOrder, by: str) -> Change:
        before = _told(trial.name, trial.step) or trial.replaces
        after = trial.replaces if order.order == "back" else f"{trial.name} ({order.order})"
        why = f"{order.why or 'no reason given'} (roll-out {trial.id})"
        return Change(f"page:{by}", "rollout order", trial.replaces, before=before, after=after, why=why)

    def _try(self, trial: Trial, step: RolloutStep) -> None:
        """Whether the station would start with it. Raises RolloutRefusedError with every fault."""
        proposed = self._ledger.model_copy(update={"trial": trial.model_copy(update={"step": step}), "arrived": None})
        try:
            load_station(self._station.path, ledger=proposed)
        except ConfigError as error:
            told = "; ".join(str(fault) for fault in error.faults)[:500]
            self.refused = printable(f"the station would not start with {trial.name}: {told}")
            raise RolloutRefusedError(self.refused) from error

    def _unpack(self, package: Package, arrived: Arrived) -> None:
        place = (
            model_place(self._state_dir, arrived.name)
            if package.is_folder
            else recipe_place(self._state_dir, arrived.digest, arrived.name)
        )
        try:
            unpack(package, place.parent)
        except OSError as error:
            raise StateError(f"{place}: cannot be written: {error.strerror}") from error

    def _names_in_use(self) -> set[str]:
        ledger = self._ledger
        own = {path.name for path in self._station.models_dir.glob("*")}
        return own | set(ledger.models.values()) | ({ledger.trial.name} if ledger.trial is not None else set())

    def _clear(self) -> None:
        """Remove what is in force nowhere: packages that were never used, and what was replaced long ago."""
        models, recipes = set(self._ledger.models.values()), set(self._ledger.recipes.values())
        judging = {each.recipe.model for each in self._station.recipes.values()}
        held = {each.digest[:16] for each in recipes}
        root = rollout_dir(self._state_dir)
        for folder, kept in ((root / "models", models | judging), (root / "recipes", held)):
            for each in _entries(folder):
                if each.name not in kept:
                    shutil.rmtree(each, ignore_errors=True)

    def _refuse_off(self) -> None:
        if not self._station.file.rollout.accept:
            raise RolloutRefusedError("this station takes nothing over the network. Set rollout.accept and trust.keys")

    def _with_trial(self, trial: Trial) -> Ledger:
        before = self._ledger.trial
        if before is None or (before.step, before.wanted) != (trial.step, trial.wanted):
            trial = trial.model_copy(update={"since": moment().utc})
        return self._ledger.model_copy(update={"trial": trial})

    def _write(self, ledger: Ledger) -> None:
        write_ledger(self._state_dir, ledger)
        self._ledger = ledger


def refuse_trial(state_dir: Path, why: str) -> Trial | None:
    """The station did not start with what is on trial: the next start is without it. Raises StateError, DeviceError."""
    ledger = read_ledger(state_dir)
    trial = ledger.trial
    if trial is None or trial.step is RolloutStep.WAITS:
        return None
    change = Change(
        "station", f"rollout {trial.kind}", trial.replaces, before=trial.name, after=trial.replaces, why=why
    )
    append(state_dir, change, moment().utc)
    write_ledger(state_dir, ledger.ended(RolloutStep.BACK, why, unseen=True))
    return trial


def _told(name: str, step: RolloutStep | None) -> str:
    return {RolloutStep.SHADOW: f"{name} (shadow)", RolloutStep.JUDGES: name, RolloutStep.KEPT: name}.get(
        step or RolloutStep.WAITS, ""
    )


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from folder.iterdir()
