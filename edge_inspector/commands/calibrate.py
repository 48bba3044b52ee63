"""`edge-inspector calibrate`: limits from good parts of this line, with a promise of how few of them are rejected."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_inspector.commands.arguments import add_period, between, positive, whole
from edge_inspector.commands.calibrate_grades import calibrate_grades
from edge_inspector.commands.changes import login, write_down
from edge_inspector.commands.judge import PictureJudge, add_model, expected_of, pictures_in
from edge_inspector.errors import ConfigError, EdgeInspectorError, Fault
from edge_inspector.inspection.calibration import Proposal, Regions, bare, propose, regions_of
from edge_inspector.inspection.promise import RejectPromise, interval, promised_by
from edge_inspector.inspection.recipe import ClassLimits, Criteria
from edge_inspector.inspection.view import Look
from edge_inspector.records import Defect, ModelInfo
from edge_inspector.runtime.clock import moment
from edge_inspector.segmenters.manifest import read_manifest
from edge_inspector.station.calibrating import look_of, model_id, pixel_mm2
from edge_inspector.station.edits import with_changes
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.judged import BELIEFS, WantedParts, known_parts
from edge_inspector.store.lock import COMMANDS, StateLock
from edge_inspector.store.logbook import LogbookReader, RecipeVersion, add_version, logbook_path
from edge_inspector.store.promises import keep_promise
from edge_inspector.store.results import Results
from edge_inspector.store.results_file import results_path
from edge_inspector.store.rows import PartStory
from edge_inspector.store.sidecar import read_mask

_FALSE_REJECTS: Final = 0.02
_CONFIDENCE: Final = 0.95
_NEWEST: Final = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which parts, and what to promise."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the station file, or with --good the recipe file")
    parser.add_argument(
        "--false-rejects",
        type=between,
        default=_FALSE_REJECTS,
        metavar="SHARE",
        help=f"largest share of good parts that may be rejected (default: {_FALSE_REJECTS})",
    )
    parser.add_argument(
        "--confidence",
        type=between,
        default=_CONFIDENCE,
        metavar="SHARE",
        help=f"how sure this must be (default: {_CONFIDENCE})",
    )
    parser.add_argument(
        "--min-confidence",
        type=between,
        metavar="P",
        help="take this min_confidence for all classes (default: those of the recipe)",
    )
    parser.add_argument(
        "--recipe", type=whole, metavar="ID", help="id of the station's recipe (default: the first one)"
    )
    parser.add_argument(
        "--believe",
        choices=BELIEFS,
        default="marked",
        help="good are parts marked good, or all of the period that nobody marked otherwise (default: marked)",
    )
    add_period(parser)
    parser.add_argument(
        "--write", action="store_true", help="save the limits as a new version of the recipe, which is not yet in force"
    )
    parser.add_argument(
        "--graded",
        type=Path,
        metavar="LIST",
        help="learn grade limits instead, from a CSV file with the columns image and grade: a letter from A, or reject",
    )
    parser.add_argument(
        "--too-good-cost",
        type=positive,
        default=1.0,
        metavar="N",
        help="with --graded: a grade that is too good counts as so many that are too bad (default: 1)",
    )
    parser.add_argument("--good", type=Path, metavar="FOLDER", help="pictures of good parts, one of each part")
    parser.add_argument("--bad", type=Path, metavar="FOLDER", help="pictures of bad parts")
    parser.add_argument(
        "--expect",
        type=Path,
        metavar="LIST",
        help="CSV file with the columns image and class, or label. Only its pictures count, and it says which are bad",
    )
    add_model(parser)


@dataclass(slots=True)
class _ReadParts:
    """The regions of the parts that were read, and how many could not be judged."""

    good: list[Regions]
    bad: list[Regions]
    unknown: int = 0

    def add(self, regions: Regions | None, *, bad: bool) -> None:
        if regions is None:
            self.unknown += 1
        else:
            (self.bad if bad else self.good).append(regions)


def run(given: argparse.Namespace) -> int:
    """Read the parts, and print what their limits are and what these promise."""
    promise = RejectPromise(given.false_rejects, given.confidence)
    if given.graded is not None:
        calibrate_grades(given)
    elif given.good is not None:
        _of_pictures(given, promise)
    else:
        _of_station(given, promise)
    return 0


def _of_pictures(given: argparse.Namespace, promise: RejectPromise) -> None:
    if given.write:
        raise ConfigError([Fault("--write", "needs a station. Put the limits that are printed into the recipe file")])
    judge = PictureJudge(given.file, given)
    before = _started_from(judge.criteria, given.min_confidence)
    good = dict(pictures_in(given.good))
    expected = expected_of(given.expect, good) if given.expect else dict.fromkeys(good, False)
    bad = dict(pictures_in(given.bad)) if given.bad else {}
    good_ones = sum(not each for each in expected.values())
    if promise.may_reject(good_ones) is None:
        raise _too_few(promise, good_ones)
    parts = [(good[name], is_bad) for name, is_bad in expected.items()] + [(path, True) for path in bad.values()]
    read, every = _ReadParts([], []), bare(before)
    for path, is_bad in parts:
        found = judge.look_at(path, every)
        read.add(None if isinstance(found, str) or found.view.failure else found.view.defects, bad=is_bad)
    pixel_mm2 = float((given.mm_per_px * judge.model.stride) ** 2)
    proposal = _proposed(before, read, promise, pixel_mm2)
    _tell(judge.criteria, proposal, promise, judge.folder)
    print(f"\nPut this into {given.file}:\n\n{_toml(proposal.limits)}")


def _of_station(given: argparse.Namespace, promise: RejectPromise) -> None:
    station = load_station(given.file)
    number = given.recipe or station.recipe.id
    if number not in station.recipes:
        raise ConfigError([Fault("--recipe", f"the station has only {', '.join(map(str, station.recipes))}")])
    now = station.recipes[number]
    before = _started_from(now, given.min_confidence)
    model = station.models.infos[now.recipe.model]
    look, read = look_of(station, bare(before), model), _ReadParts([], [])
    results = Results(results_path(station.state_dir))
    for is_bad, story in known_parts(results, station.state_dir, _wanted(given, station, number)):
        read.add(_regions(look, model, story), bad=is_bad)
    proposal = _proposed(before, read, promise, pixel_mm2(station, now, model))
    _tell(now, proposal, promise, station.models_dir / now.recipe.model)
    if given.write:
        _write(station, now, proposal, promise)
    else:
        print(f"\n{_toml(proposal.limits)}\nType the same with --write to save these limits as a version of the recipe")


def _wanted(given: argparse.Namespace, station: Station, number: int) -> WantedParts:
    one_in = station.file.archive.accepted_one_in
    if given.believe == "all" and not one_in:
        what = "is 0, so no pictures of accepted parts are kept. Set it to 1 for a shift of good parts"
        raise ConfigError([Fault(f"{given.file}: archive.accepted_one_in", what)])
    return WantedParts(
        number,
        model_id(station.models.infos[station.recipes[number].recipe.model]),
        given.believe,
        one_in=max(1, one_in),
        limit=_NEWEST,
        since=given.since,
        until=given.until,
    )


def _started_from(criteria: Criteria, min_confidence: float | None) -> Criteria:
    """The limits whose areas are calibrated."""
    if min_confidence is None:
        return criteria
    change = {"min_confidence": min_confidence}
    return Criteria(criteria.recipe, {name: each.model_copy(update=change) for name, each in criteria.limits.items()})


def _regions(look: Look, model: ModelInfo, story: PartStory) -> Regions | None:
    """The regions of a part, from its kept masks. None if one is missing."""
    found: list[Defect] = []
    for view in story.views:
        planes = read_mask(view.picture) if view.picture is not None else {}
        if tuple(planes) != model.classes:
            return None
        regions = regions_of(look, view.camera, np.stack(list(planes.values())))
        if regions is None:
            return None
        found += regions
    return found if story.views else None


def _too_few(promise: RejectPromise, good: int) -> ConfigError:
    what = (
        f"{_percent(promise.false_rejects)} of false rejects, promised with {_percent(promise.confidence)} confidence"
    )
    has = f"there {'is' if good == 1 else 'are'} {good}"
    if good:
        has += f", which can promise {_percent(promised_by(good, promise.confidence), up=True)}"
    return ConfigError([Fault("--false-rejects", f"{what}, needs {promise.fewest} good parts, and {has}")])


def _proposed(before: Criteria, read: _ReadParts, promise: RejectPromise, mask_pixel_mm2: float) -> Proposal:
    print(f"{len(read.good)} good parts, {len(read.bad)} bad parts, and {read.unknown} that cannot be judged")
    found = propose(before, read.good, read.bad, promise=promise, pixel_mm2=mask_pixel_mm2)
    if found is None:
        raise _too_few(promise, len(read.good))
    return found


def _tell(now: Criteria, proposal: Proposal, promise: RejectPromise, model: Path) -> None:
    print(
        f"promise: at most {_percent(promise.false_rejects)} of good parts are rejected, "
        f"with {_percent(promise.confidence)} confidence"
    )
    print(f"{'class':20} {'min_area_mm2 now':>20} {'proposed':>12} {'min_confidence now':>20} {'proposed':>12}")
    for name, limit in proposal.limits.items():
        then = now.limits[name]
        print(
            f"{name:20} {then.min_area_mm2:20.4g} {limit.min_area_mm2:12.4g} "
            f"{then.min_confidence:20g} {limit.min_confidence:12g}"
        )
    print(f"good parts rejected: now {proposal.refused_before}, then {proposal.refused} of {proposal.good}")
    if proposal.bad:
        low, high = interval(proposal.caught, proposal.bad)
        print(
            f"bad parts rejected: now {proposal.caught_before}, then {proposal.caught} of {proposal.bad} "
            f"(recall {low:.3f} to {high:.3f} with 95 % confidence)"
        )
    else:
        print(f"bad parts rejected: unknown, because none were given. {_evidence(model)}")


def _evidence(folder: Path) -> str:
    """What the model's own card says."""
    try:
        scores = read_manifest(folder).scores
    except ConfigError:
        scores = ()
    if not scores:
        return "The model has no scores of its own"
    last = scores[-1]
    return (
        f"By the model's card on {last.get('data')} ({last.get('split')}) recall is {last.get('part_recall')} "
        f"with its own limits, and at best {last.get('recall_at_2_percent')} with 2 % of false rejects"
    )


def _toml(limits: Mapping[str, ClassLimits]) -> str:
    tables = []
    for name, limit in limits.items():
        lines = [f"{key} = {value}" for key, value in limit.model_dump(exclude_none=True).items()]
        tables.append("\n".join([f"[classes.{json.dumps(name)}]", *lines]))
    return "\n\n".join(tables)


def _write(station: Station, now: Criteria, proposal: Proposal, promise: RejectPromise) -> None:
    """Save a version, and what it promises. It is put in force on the page, as any other version."""
    recipe, path = now.recipe, logbook_path(station.state_dir)
    if not path.exists():
        raise EdgeInspectorError(f"{path}: there is none yet. Has the station run?")
    changes = {
        "classes": {name: limit.model_dump() for name, limit in proposal.limits.items()},
        "regions": {name: [area.model_dump() for area in recipe.areas(name)] for name in recipe.regions},
        "review_band": list(recipe.review_band),
    }
    fresh = with_changes(recipe, changes)
    newest = LogbookReader(path).versions(recipe.id, 1)
    version = RecipeVersion(
        recipe_id=recipe.id,
        version=newest[0].version + 1 if newest else 1,
        utc=moment().utc,
        user=f"command:{login()}",
        comment=f"calibrated with {proposal.good} good parts: at most {_percent(promise.false_rejects)} false rejects, "
        f"{_percent(promise.confidence)} sure",
        hash=fresh.fingerprint,
        changes=json.dumps(changes),
    )
    with StateLock(station.state_dir, COMMANDS).held():
        write_down(
            station.state_dir,
            "recipe version",
            f"recipe {recipe.id}",
            before=str(version.version - 1),
            after=str(version.version),
            why=version.comment,
        )
        keep_promise(
            station.state_dir,
            fresh.fingerprint,
            false_rejects=promise.false_rejects,
            confidence=promise.confidence,
            parts=proposal.good,
            utc=version.utc,
        )
        if not add_version(path, version):
            raise EdgeInspectorError("somebody has saved a version at this moment: type the same command again")
    print(f"\nsaved as version {version.version} of recipe {recipe.id}. Put it in force on the page, under Recipes")


def _percent(share: float, *, up: bool = False) -> str:
    """In percent. With `up` it is rounded up, because a promise must not be rounded down."""
    return f"{math.ceil(share * 1000) / 10 if up else share * 100:g} %"
