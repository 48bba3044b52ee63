"""`edge-inspector validate`: one document that says how well, how fast and with what this station judges."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

import numpy as np

import edge_inspector
from edge_inspector import __version__
from edge_inspector.codes import ErrorCode
from edge_inspector.commands.arguments import add_period, add_station, positive, whole
from edge_inspector.commands.model.arguments import DATA
from edge_inspector.commands.progress import Progress
from edge_inspector.commands.reports import add_outputs, hashes_below, refuse_outputs, write_outputs
from edge_inspector.commands.study import figures_of, ratings_of
from edge_inspector.documents import NO_NUMBER, Document, Rate
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.inspection.recipe import Criteria
from edge_inspector.runtime.clock import iso, moment
from edge_inspector.runtime.machine import machine_words
from edge_inspector.segmenters.manifest import Manifest, read_manifest
from edge_inspector.station.load import Station, load_station
from edge_inspector.store.audit import read, verify
from edge_inspector.store.challenges import read_challenges
from edge_inspector.store.logbook import LogbookReader, logbook_path
from edge_inspector.store.measured import Quantiles, StationFigures, measured
from edge_inspector.store.results_file import results_path
from edge_inspector.store.signatures import objection
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.agreement import Interval, agreement
from edge_inspector.training.judging.detection import Slice, by_class, by_group, by_size, missed
from edge_inspector.training.judging.evidence import Evidence, Predict, gather
from edge_inspector.training.judging.figures import figures
from edge_inspector.training.judging.limits import Limit, confidences_with
from edge_inspector.training.judging.runtimes import blank
from edge_inspector.training.judging.splits import Judged, open_judged

_GROUPS: Final = 40
_BAD_COLUMNS: Final = ("", "bad parts", "escapes", "recall", "95 %")
_GOOD_COLUMNS: Final = ("good parts", "false rejects", "rate", "95 %")
_MISSED: Final = 60
_EVENTS: Final = 20_000
_REPEATS: Final = 40
_SEED: Final = 1
_HASHED: Final = 400  # files of the data that are named one by one
_PACKAGES: Final = ("numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino", "pydantic",
                    "paho-mqtt", "python-snap7", "pymodbus", "starlette", "uvicorn", "cryptography")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which station, on what data, and where to."""
    add_station(parser)
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--split", default="val", help="split of the data to judge (default: val)")
    add_period(parser)
    parser.add_argument(
        "--parts", type=whole, metavar="N", help="judge so many parts, drawn at random (default: all of the split)"
    )
    parser.add_argument(
        "--minutes", type=positive, metavar="M", help="judge parts in random order for at most so many minutes"
    )
    parser.add_argument(
        "--faults",
        type=Path,
        metavar="FILE",
        help="a report of `make chaos` on this station: the faults that were tried",
    )
    add_outputs(parser)


def run(given: argparse.Namespace) -> int:
    """Measure and write."""
    refuse_outputs(given)
    tried = _campaign(given.faults) if given.faults else None
    with Progress() as progress:
        progress.begin("opening the model and the data")
        station = load_station(given.station)
        manifest = read_manifest(station.models_dir / station.recipe.model)
        judged = open_judged(given.data, given.split, manifest)
        station.segmenter.open()
        if station.segmenter.info.classes != manifest.classes:
            what = f"does not run {manifest.name}-{manifest.version}, so its classes are others than those of DATA"
            raise ConfigError([Fault("segmenter.driver", what)])
        document = _measured(station, judged, manifest, given, progress=progress)
        _tell_faults(document, station.state_dir, tried, since=given.since, until=given.until)
        _tell_challenges(document, station, given.since, given.until)
        _tell_trail(document, station.state_dir)
        progress.begin(f"computing the hashes of all files of {given.data}")
        _tell_versions(document, station, given)
        document.findings()
        station.segmenter.close()
        progress.begin("writing")
        write_outputs(given, document)
    return 0


def _measured(
    station: Station, judged: Judged, manifest: Manifest, given: argparse.Namespace, *, progress: Progress
) -> Document:
    """The document's first sections: what the station finds, and how fast."""
    criteria, scale = station.recipes[station.recipe.id], _mm2_per_px(station)
    limits = [_limit(criteria, name, scale) for name in manifest.classes]
    predict = _predictor(station)
    order = _order(judged.count, given.parts, given.minutes)
    progress.begin(f"judging {len(order)} of {judged.count} parts of {judged.name}", len(order))
    seen = gather(
        predict,
        classes=len(manifest.classes),
        stride=station.segmenter.info.stride,
        parts=progress.counted(judged.parts(order), (given.minutes or math.inf) * 60),
        confidences=confidences_with(limits),
        workers=station.segmenter.workers,
    )
    document = Document(
        f"Validation of station {station.file.station.name}",
        f"Recipe {station.recipe.id} {station.recipe.name}, model {station.segmenter.info.label}, criteria "
        f"{station.basis().fingerprint(station.recipe.id)}. Written at {iso(moment().utc, 'minutes')} by "
        f"edge-inspector {__version__} on {machine_words()}.",
    )
    _tell_release(document)
    data = f"{judged.name}, {given.split}{_sample(len(seen.names), judged.count)}"
    _tell_detection(document, seen, limits, manifest, criteria=criteria, scale=scale, data=data)
    progress.begin("measuring the time of the model", _REPEATS)
    _tell_timing(document, station, _model_ms(predict, manifest, progress), since=given.since, until=given.until)
    return document


def _order(count: int, parts: int | None, minutes: float | None) -> Sequence[int]:
    """The numbers of the parts to judge. Drawn with a fixed seed, so a second run judges the same ones."""
    if parts is None and minutes is None:
        return range(count)
    return random.Random(_SEED).sample(range(count), min(count, parts or count))


def _sample(seen: int, count: int) -> str:
    return "" if seen >= count else f" (a sample: {seen} of {count} parts, drawn at random)"


def _predictor(station: Station) -> Predict:
    def predict(image: Image) -> Image:
        flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
        mask: Image = station.segmenter.segment([np.ascontiguousarray(flat)])[0]
        return mask

    return predict


def _mm2_per_px(station: Station) -> float:
    return min(across * along for across, along in station.scales.values())


def _limit(criteria: Criteria, name: str, mm2_per_px: float) -> Limit:
    limit = criteria.limits[name]
    return Limit(limit.min_confidence, limit.min_area_mm2 / mm2_per_px)


def _model_ms(predict: Predict, manifest: Manifest, progress: Progress) -> Quantiles:
    """Wall time of one picture by this station's own runtime, now."""
    image, taken = blank(manifest), list[float]()
    for _ in progress.counted(range(_REPEATS)):
        begun = time.perf_counter()
        predict(image)
        taken.append((time.perf_counter() - begun) * 1e3)
    return Quantiles(tuple(sorted(taken)))


def _tell_detection(
    document: Document,
    seen: Evidence,
    limits: Sequence[Limit],
    manifest: Manifest,
    *,
    criteria: Criteria,
    scale: float,
    data: str,
) -> None:
    found = figures(seen, manifest.classes, limits)
    good = found.parts - found.defective
    recall = f"{found.part_recall:.3f} {_interval(found.part_recall_95)}"
    wrong = f"{found.false_reject_rate:.3f} {_interval(found.false_reject_rate_95)}"
    document.section("What it finds")
    document.pairs(
        [
            ("data", f"{data}: {found.parts} parts of {found.groups} groups, {found.defective} of them bad"),
            ("recall", f"{recall}: {found.escapes} of {found.defective} escape"),
            ("false rejects", f"{wrong}: {found.false_rejects} of {good}"),
        ]
    )
    document.text(
        "Intervals hold 95 %. The two above are over groups, because parts of one group are alike. Those below are of "
        "single parts (Wilson), so they are too narrow where parts of a group are alike. Parts were judged by the "
        "recipe's limits on confidence and area, with the station's own runtime."
    )
    if any(limit.max_count or limit.max_length_mm for limit in criteria.limits.values()) or criteria.recipe.regions:
        document.text("max_count, max_length_mm and regions of the recipe are not part of this measurement.", "bad")
    for title, slices in (
        ("By class", by_class(seen, limits, manifest.classes)),
        ("By size of the largest defect", by_size(seen, limits, scale)),
        ("By group", by_group(seen, limits)),
    ):
        document.section(title)
        with_good = any(each.good for each in slices)
        columns = _BAD_COLUMNS + _GOOD_COLUMNS * with_good
        document.table(columns, [_row(each)[: len(columns)] for each in slices[:_GROUPS]])
        if len(slices) > _GROUPS:
            rest = slices[_GROUPS:]
            mistakes = sum(each.escapes + each.false_rejects for each in rest)
            document.text(f"{len(rest)} more groups with {mistakes} mistakes are not shown.")
    names = missed(seen, limits)
    if names:
        more = f" and {len(names) - _MISSED} more" if len(names) > _MISSED else ""
        document.text(f"Bad parts that were accepted: {', '.join(names[:_MISSED])}{more}.", "bad")


def _row(each: Slice) -> tuple[object, ...]:
    recall, recall_95 = each.recall
    rate, rate_95 = each.false_reject_rate
    return (
        each.name, each.bad, each.escapes, _rate(recall), _interval(recall_95),
        each.good, each.false_rejects, _rate(rate), _interval(rate_95),
    )  # fmt: skip


def _tell_timing(
    document: Document, station: Station, model_ms: Quantiles, *, since: datetime | None, until: datetime | None
) -> None:
    found = measured(results_path(station.state_dir), since, until)
    line, tolerance = station.file.line, station.recipe.position_tolerance_mm
    document.section("In time, on this station")
    document.text(_period(found))
    rows = [
        ("model, one picture, measured now (ms)", model_ms),
        ("from the picture to the decision (ms)", found.latency_ms),
        ("left from the decision to the gate (ms)", found.left_ms),
        *((f"left from the delivery to {link} to the gate (ms)", spread) for link, spread in found.links.items()),
    ]
    document.table(["", "values", "least", "1 %", "median", "99 %", "greatest"], [_spread_row(*row) for row in rows])
    _tell_late(document, station, found)
    document.section("Where a part was")
    document.table(
        ["", "values", "least", "1 %", "median", "99 %", "greatest"],
        [_spread_row("bound of the position (mm)", found.error_mm)],
    )
    document.text(
        f"position_tolerance_mm is {tolerance:g}. A part whose bound is beyond it is never accepted. Counts per mm: "
        f"{line.counts_per_mm:g}, highest speed {line.speed_max_mm_s:g} mm/s, "
        f"promise of this line: {station.roles.promise}."
    )


def _tell_late(document: Document, station: Station, found: StationFigures) -> None:
    """What came after the part may have been at the gate. A broker's messages are no matter of the gate."""
    if not found.parts:
        return
    document.text(f"line.reserve_ms is {station.file.line.reserve_ms:g}.")
    late = {link: sum(left < 0 for left in spread.values) for link, spread in found.links.items()}
    told = [
        f"{count} of {len(found.links[link].values)} verdicts came to {link} after the part may have been at the gate. "
        "The PLC rejects such a part by itself."
        for link, count in late.items()
        if count and link in station.roles.vital
    ]
    if found.late:
        told.append(f"{found.late} verdicts were told as late.")
    for words in told:
        document.text(words, "bad")
    if not told:
        document.text("No verdict was late.", "good")


def _period(found: StationFigures) -> str:
    if found.first is None or found.last is None:
        return "The station has no results of this period, so nothing was measured."
    return (
        f"{found.parts} parts from {iso(found.first, 'minutes')} to {iso(found.last, 'minutes')}, "
        f"{found.inspected} of them inspected."
    )


def _spread_row(name: str, spread: Quantiles) -> tuple[object, ...]:
    return (name, len(spread.values), *(_number(spread.at(share)) for share in (0.0, 0.01, 0.5, 0.99, 1.0)))


def _tell_faults(
    document: Document,
    state_dir: Path,
    tried: dict[str, Any] | None,
    *,
    since: datetime | None,
    until: datetime | None,
) -> None:
    document.section("Faults that were tried")
    if tried is None:
        document.text("No campaign was given (--faults).")
    else:
        campaign = list(_tried(tried))
        document.table(["fault", "runs", "promises broken"], campaign)
        document.text(f"Seed {tried.get('seed', 'unknown')}. Each run is one fault on the running line.")
        broken, total = sum(row[2] for row in campaign), sum(row[1] for row in campaign)
        words = f"{broken or 'No'} promise{'s were' if broken != 1 else ' was'} broken in {total} runs."
        document.text(words, "bad" if broken else "good")
    document.section("Faults that happened")
    events = LogbookReader(logbook_path(state_dir)).events(limit=_EVENTS, since=since, until=until)
    counts = Counter(event.code for event in events)
    rows = []
    for code, count in sorted(counts.items()):
        of = [event for event in events if event.code == code]
        rows.append((f"E{code} {_code_name(code)}", count, iso(max(event.begun for event in of), "minutes"),
                     sum(event.not_inspected for event in of), _meaning(code)))  # fmt: skip
    document.table(["what", "times", "last", "parts not inspected meanwhile", "meaning"], rows)
    if not rows:
        document.text("The logbook has no fault in this period.")


def _campaign(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        runs = found["runs"]
        sound = isinstance(runs, list) and all(isinstance(each["fault"], str) and "violated" in each for each in runs)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise ConfigError([Fault("--faults", f'{path} is no report of `make chaos ARGS="--report FILE"`')])
    campaign: dict[str, Any] = found
    return campaign


def _tried(campaign: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    runs, broken = Counter[str](), Counter[str]()
    for each in campaign["runs"]:
        runs[each["fault"]] += 1
        broken[each["fault"]] += bool(each["violated"])
    for fault, count in sorted(runs.items()):
        yield fault, count, broken[fault]


def _tell_challenges(document: Document, station: Station, since: datetime | None, until: datetime | None) -> None:
    document.section("Challenges")
    runs = [
        run
        for run in read_challenges(station.state_dir)
        if run.recipe_id == station.recipe.id
        and (since is None or run.utc >= since)
        and (until is None or run.utc < until)
    ]
    passed = sum(run.passed for run in runs)
    document.text(
        f"{len(runs)} challenges of this recipe, {passed} passed.", "good" if runs and passed == len(runs) else ""
    )
    if runs and not runs[-1].passed:
        document.text(f"The last challenge was not passed: {runs[-1].why}.", "bad")
    ratings = ratings_of(runs)
    if len({each.run for each in ratings}) > 1:
        document.pairs(figures_of(agreement(ratings)))


def _tell_trail(document: Document, state_dir: Path) -> None:
    document.section("Audit trail")
    faults, lines = verify(state_dir), list(read(state_dir))
    last = lines[-1].hash if lines else "none"
    document.text(f"{len(lines)} changes. Hash of the last line: {last}.")
    for fault in faults or ("The chain is whole.",):
        document.text(fault, "bad" if faults else "good")


def _tell_versions(document: Document, station: Station, given: argparse.Namespace) -> None:
    file, base = station.file, given.station.parent
    document.section("Versions")
    installed = {each.metadata["Name"]: each for each in distributions()}
    info = station.segmenter.info
    document.pairs([("machine", machine_words()), ("runtime", f"{info.runtime} on {info.provider}, {info.precision}")])
    files = [pair for pair in hashes_below(Path(edge_inspector.__file__).parent) if "__pycache__" not in pair[0]]
    document.table(
        ["package", "version", "SHA-256 of its files"],
        [
            ("edge-inspector", __version__, _hash_of(files)),
            *(
                (name, installed[name].version, _hash_of_record(installed[name]))
                for name in _PACKAGES
                if name in installed
            ),
        ],
    )
    document.text("Of packages it is the hash of RECORD, the list of their files with the hash of each.")
    document.section("Hashes (SHA-256)")
    model = station.models_dir / station.recipe.model
    named = [given.station, *(base / path for path in (file.station.recipe, *file.station.recipes)), model]
    rows = [pair for path in named for pair in hashes_below(path)]
    data = Path(given.data)
    if data.exists():
        of_data = list(hashes_below(data))
        rows += [pair for pair in of_data if Path(pair[0]).suffix in (".csv", ".json", ".toml")][:_HASHED]
        rows.append((f"{data}: all {len(of_data)} files", _hash_of(of_data)))
    document.table(["file", "SHA-256"], rows)
    for path in named[1:] if file.trust.keys else ():
        why = objection(path, file.trust.keys)
        document.text(f"{path}: {why or 'signed by a key that this station trusts'}", "bad" if why else "good")
    if not file.trust.keys:
        document.text("This station checks no signatures (trust.keys is empty).")


def _hash_of_record(package: Distribution) -> str:
    return hashlib.sha256((package.read_text("RECORD") or "").encode()).hexdigest()


def _hash_of(pairs: Sequence[tuple[str, str]]) -> str:
    """One hash for many files: that of their hashes, in the order of their names."""
    return hashlib.sha256("\n".join(found for _, found in pairs).encode()).hexdigest()


def _tell_release(document: Document) -> None:
    """Room for the people who examine the document and release the station."""
    document.section("Released by")
    line = "." * 40
    document.table(
        ["", "name", "date", "signature"], [(who, line, line[:16], line) for who in ("examined", "released")]
    )


def _meaning(code: int) -> str:
    try:
        return ErrorCode(code).meaning.format(name="...")
    except (ValueError, LookupError):
        return ""


def _code_name(code: int) -> str:
    try:
        return ErrorCode(code).name.lower()
    except ValueError:  # of a newer version
        return ""


def _number(value: float) -> object:
    """The number. Without one, a dash."""
    return NO_NUMBER if math.isnan(value) else float(value)


def _rate(value: float) -> object:
    """The share. Without one, a dash."""
    return NO_NUMBER if math.isnan(value) else Rate(value)


def _interval(interval: Interval) -> str:
    low, high = interval
    return "" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"
