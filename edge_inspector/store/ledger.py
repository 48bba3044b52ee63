"""What roll-outs have brought to this station: what is in force, what is on trial, what lies ready. One small file.

The files of models and recipes lie beside it: `rollout/models/NAME/` and `rollout/recipes/DIGEST/NAME.toml`.
"""

from __future__ import annotations

import logging
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from edge_inspector.errors import StateError
from edge_inspector.records import RolloutTold
from edge_inspector.runtime.clock import moment
from edge_inspector.settings import Table
from edge_inspector.store.whole_file import replace_file

log = logging.getLogger(__name__)

_LARGEST: Final = 1 << 20
_WHY_MOST: Final = 300  # characters. It goes into each message about the station's state
_STARTS_MOST: Final = 3  # of which none ended in order

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Kind = Literal["model", "recipe"]


class Bounds(Table):
    """When a new model or recipe is good enough for the next step, and when it goes back."""

    pictures: Count = 200
    """Pictures that both models must have looked at before the new one may judge. 0: it never runs as the shadow."""
    agreement_min: Share = 0.97
    """Lowest share of these pictures on which both agree."""
    found_pictures: Count = 5
    """Pictures among them that the present model rejects. Even a blind model agrees on the others."""
    found_min: Share = 0.9
    """Lowest share of those pictures that the new model must reject, too."""
    parts: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Parts that a station judges with it before it has passed."""
    reject_rise_max: Share = 0.05
    """Largest rise of the share of parts that are not accepted, against as many parts before."""


class RolloutStep(StrEnum):
    """How far a roll-out is at this station."""

    WAITS = "waits"
    """It waits for a stop. Nothing has changed yet."""
    SHADOW = "shadow"
    """It looks on."""
    JUDGES = "judges"
    """It judges, and may still go back."""
    KEPT = "kept"
    """It judges for good."""
    BACK = "back"
    """It has gone back."""


class TrialCounts(Table):
    """What was counted since the step began. The first five are pictures, see `watches/shadow.py`."""

    accepted: int = 0
    rejected: int = 0
    missed: int = 0
    more: int = 0
    failed: int = 0
    parts: int = 0
    not_accepted: int = 0


class Arrived(Table):
    """A checked package whose files lie ready. `name` is that of the folder, or of the recipe's file."""

    kind: Kind
    name: str
    digest: str


class Trial(Arrived):
    """A roll-out at this station. `replaces` is the model or recipe file before it, `base` that file's SHA-256.

    `since` is when `step` and `wanted` became what they are, for people: nothing is decided by it. `unseen`: it goes
    back by itself, and nobody has given RESET since then.
    """

    id: str
    replaces: str
    base: str = ""
    bounds: Bounds
    by: str
    why: str = ""
    step: RolloutStep = RolloutStep.WAITS
    wanted: RolloutStep | None = None
    passed: bool = False
    counts: TrialCounts = TrialCounts()
    after_id: int = 0
    rate_before: float = 0.0
    starts: int = 0
    said: str = ""
    since: AwareDatetime | None = None
    unseen: bool = False

    @property
    def told(self) -> RolloutTold:
        """The same for whoever watches the station."""
        wanted, why = self.wanted or "", self.said[:_WHY_MOST] if RolloutStep.BACK in {self.step, self.wanted} else ""
        return RolloutTold(package=self.name, step=self.step, wanted=wanted, since=self.since, why=why)


class DeliveredRecipe(Table):
    """A recipe that counts instead of its file, as long as that file has the SHA-256 `base`."""

    base: str
    digest: str


class Ledger(Table):
    """The whole file. `models`: by which model each was replaced. `newest`: the newest version of each product."""

    format: Literal[1] = 1
    models: dict[str, str] = Field(default_factory=dict)
    recipes: dict[str, DeliveredRecipe] = Field(default_factory=dict)
    newest: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    arrived: Arrived | None = None
    trial: Trial | None = None
    last: Trial | None = None

    def model(self, name: str) -> str:
        """The model that stands for the one that a file names. What somebody writes into the file counts."""
        seen = {name}
        while (after := self.models.get(name)) is not None and after not in seen:
            seen.add(after)
            name = after
        return name

    @property
    def latest(self) -> Trial | None:
        """The trial, or else the one that has ended last."""
        return self.trial or self.last

    def kept(self, product: str, version: tuple[int, ...]) -> Ledger:
        """The trial judges for good. It is the newest `version` of its `product`."""
        trial = self.trial
        if trial is None:
            return self
        ended = self.ended(RolloutStep.KEPT)
        newest = self.newest | {product: version}
        if trial.kind == "recipe":
            recipes = self.recipes | {trial.replaces: DeliveredRecipe(base=trial.base, digest=trial.digest)}
            return ended.model_copy(update={"recipes": recipes, "newest": newest})
        models = {name: trial.name if after == trial.replaces else after for name, after in self.models.items()}
        return ended.model_copy(update={"models": models | {trial.replaces: trial.name}, "newest": newest})

    def ended(self, step: RolloutStep, said: str = "", **more: Any) -> Ledger:
        """The trial has come to its end: kept or back."""
        trial = self.trial
        if trial is None:
            return self
        change = {"step": step, "wanted": None, "said": said or trial.said, "since": moment().utc} | more
        return self.model_copy(update={"trial": None, "last": trial.model_copy(update=change)})


def rollout_dir(state_dir: Path) -> Path:
    """Where all of it lies."""
    return state_dir / "rollout"


def model_place(state_dir: Path, name: str) -> Path:
    """The folder of a model that a roll-out has brought, if it is there."""
    return rollout_dir(state_dir) / "models" / name


def recipe_place(state_dir: Path, digest: str, name: str) -> Path:
    """The file of a recipe that a roll-out has brought, if it is there."""
    return rollout_dir(state_dir) / "recipes" / digest[:16] / name


def read_ledger(state_dir: Path) -> Ledger:
    """What roll-outs have brought. Nothing if the file is missing or damaged: then the station's own files count."""
    path = _path(state_dir)
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("too large")  # noqa: TRY301 -- the same as any other damage
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValueError, ValidationError) as error:
        log.error("%s cannot be used, so the station's files count: %s", path, " ".join(str(error).split())[:200])  # noqa: TRY400 -- the message says it all
        return Ledger()


def write_ledger(state_dir: Path, ledger: Ledger) -> None:
    """Replace the file. Raises StateError."""
    path = _path(state_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, ledger.model_dump_json(indent=1))
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}") from error


def count_start(state_dir: Path) -> str:
    """Count a start with something on trial. Why it must go back, if too many of them did not end in order.

    Raises StateError.
    """
    ledger = read_ledger(state_dir)
    trial = ledger.trial
    if trial is None or trial.step is RolloutStep.WAITS:
        return ""
    if trial.starts >= _STARTS_MOST:
        return f"the station ended {trial.starts} times out of order with it"
    change = trial.model_copy(update={"starts": trial.starts + 1})
    write_ledger(state_dir, ledger.model_copy(update={"trial": change}))
    return ""


def numbers_of(text: str) -> tuple[int, ...]:
    """The numbers in a version, to compare: 1.10 is newer than 1.9. Empty if there are none."""
    return tuple(int(each) for each in re.findall(r"\d{1,9}", text, re.ASCII))


def _path(state_dir: Path) -> Path:
    return rollout_dir(state_dir) / "ledger.json"
