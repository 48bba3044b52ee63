"""`edge-inspector shadow`: make the shadow model the judging model, and undo that."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_inspector.commands.arguments import add_station, add_why
from edge_inspector.commands.changes import write_down
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.station.load import Station, load_station, read_state_dir
from edge_inspector.store.lock import COMMANDS, StateLock
from edge_inspector.store.whole_file import replace_file

_RECORD = "promotion.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and at which station."""
    parser.add_argument(
        "action",
        choices=["promote", "rollback"],
        metavar="ACTION",
        help="promote swaps the model of the recipes with the shadow model, rollback swaps them back",
    )
    add_station(parser)
    add_why(parser)


def run(given: argparse.Namespace) -> int:
    """Swap the models in the files of the station."""
    return (promote if given.action == "promote" else roll_back)(given.station, given.why)


def promote(path: Path, why: str = "") -> int:
    """Swap the model of the recipes and the shadow model.

    From the next start the former model runs as the shadow model.
    """
    with _alone(path) as station:
        before, shadow = _models(station, path)
        write_down(station.state_dir, "model", "recipes", before=before, after=shadow, why=why)
        _swap(path, station, before, shadow)
        _write({station.state_dir / _RECORD: json.dumps({"from": before, "to": shadow}) + "\n"})
    _tell(shadow, before)
    return 0


def roll_back(path: Path, why: str = "") -> int:
    """Undo the swap. Raises ConfigError if the files have changed since the promotion."""
    with _alone(path) as station:
        before, shadow = _models(station, path)
        record = station.state_dir / _RECORD
        if _promoted(record) != {"from": shadow, "to": before}:
            what = f"{before} judges and {shadow} is the shadow: this was not promoted here. Edit the files by hand"
            raise ConfigError([Fault(str(path), what)])
        write_down(station.state_dir, "model", "recipes", before=before, after=shadow, why=why)
        _swap(path, station, before, shadow)
        record.unlink()
    _tell(shadow, before)
    return 0


@contextmanager
def _alone(path: Path) -> Iterator[Station]:
    with StateLock(read_state_dir(path), COMMANDS).held():
        yield load_station(path)


def _promoted(record: Path) -> object:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError([Fault(str(record), "is not there: nothing was promoted")]) from error


def _models(station: Station, path: Path) -> tuple[str, str]:
    table = station.file.shadow
    if table is None:
        raise ConfigError([Fault(f"{path}: shadow", "is missing: there is no shadow model to promote")])
    if table.model == station.recipe.model:
        raise ConfigError(
            [Fault(f"{path}: shadow.model", "already judges, with other settings: change `segmenter` instead")]
        )
    return station.recipe.model, table.model


def _swap(path: Path, station: Station, before: str, shadow: str) -> None:
    """Change all files, or none if the station would not start with the change."""
    base, names = path.parent, station.file.station
    old = {each: each.read_text() for each in (path, *(base / name for name in (names.recipe, *names.recipes)))}
    new = {each: _renamed(each, text, table="", old=before, new=shadow) for each, text in old.items() if each != path}
    new[path] = _renamed(path, old[path], table="shadow", old=shadow, new=before)
    _write(new)
    try:
        load_station(path)
    except ConfigError:
        _write(old)
        raise


def _renamed(path: Path, text: str, *, table: str, old: str, new: str) -> str:
    """`text` with the one line `model = "old"` of this table changed. All comments stay where they are."""
    lines, current, found = text.splitlines(keepends=True), "", []
    for at, line in enumerate(lines):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            current = header[1]
        elif current == table and re.match(rf"""\s*model\s*=\s*["']{re.escape(old)}["']\s*(#|$)""", line):
            found.append(at)
    if len(found) != 1:
        where = f"{path}: {table}.model" if table else f"{path}: model"
        raise ConfigError([Fault(where, f'a line of its own, model = "{old}", is needed to change it')])
    lines[found[0]] = lines[found[0]].replace(old, new, 1)
    return "".join(lines)


def _write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        try:
            replace_file(path, text, keep_access=True)
        except OSError as error:
            raise ConfigError([Fault(str(path), f"cannot be written: {error.strerror}")]) from error


def _tell(judges: str, looks_on: str) -> None:
    print(f"from the next start {judges} judges and {looks_on} is the shadow: systemctl restart edge-inspector")
