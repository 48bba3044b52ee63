"""A shift's record on the disk: a folder with its first page, its steps and its pictures.

    head.json            the station, its criteria and its model
    steps.jsonl.gz       one line for each step of the judge
    pictures/CAMERA/NS   each picture as it came, as PNG. NS is the instant of its exposure

The last line of a record that was ended in order says so. One that was cut off can be used up to there.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import cv2

from edge_inspector.errors import ConfigError, DeviceError, Fault
from edge_inspector.records import Frame, Image, View
from edge_inspector.shifts.coding import as_json, from_json
from edge_inspector.shifts.head import FORMAT, ShiftHead
from edge_inspector.shifts.tape import JudgeStep
from edge_inspector.store.images import PNG
from edge_inspector.store.whole_file import replace_file

_HEAD: Final = "head.json"
_STEPS: Final = "steps.jsonl.gz"
_GZIP: Final = 31  # zlib's word for a gzip stream
_LINE_MAX: Final = 4 * 2**20
_CHUNK: Final = 1 << 16
_CAMERA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_BLOCK: Final = 4096  # a file takes whole blocks of this size on the disk


def shifts_path(state_dir: Path) -> Path:
    """Where the records of a station are."""
    return state_dir / "shifts"


def picture_path(folder: Path, camera: str, captured_ns: int) -> Path:
    """The file of one picture."""
    return folder / "pictures" / camera / f"{captured_ns}.png"


class ShiftWriter:
    """Writes one record into a new folder. One thread owns it. Every method raises DeviceError if the disk fails.

    `size` is what it takes on the disk.
    """

    def __init__(self, folder: Path, head: ShiftHead) -> None:
        self.folder = folder
        self.size = 0
        self._packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        try:
            folder.mkdir(parents=True)
            replace_file(folder / _HEAD, json.dumps(as_json(head), indent=1))
            self._file: IO[bytes] = (folder / _STEPS).open("wb")
        except OSError as error:
            raise DeviceError(f"{folder}: a shift cannot be recorded: {error.strerror}") from error

    def step(self, step: JudgeStep) -> None:
        """Add one step."""
        self._write(self._packer.compress(_line(as_json(step))))

    def picture(self, frame: Frame) -> None:
        """Add one picture."""
        path = picture_path(self.folder, frame.camera, frame.captured_ns)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), frame.image, PNG):
                raise DeviceError(f"{path}: the picture cannot be written")
            self.size += -(-path.stat().st_size // _BLOCK) * _BLOCK
        except OSError as error:
            raise DeviceError(f"{path}: the picture cannot be written: {error.strerror}") from error
        except cv2.error as error:
            raise DeviceError(f"{path}: the picture cannot be written: {error}") from error

    def flush(self) -> None:
        """From now on everything up to here can be read, even if the program is killed."""
        self._write(self._packer.flush(zlib.Z_SYNC_FLUSH))
        self._flush_file()

    def end(self, why: str, pictures_left_out: int) -> None:
        """Close the record in order, and say why it ends."""
        self._write(self._packer.compress(_line({"end": why, "pictures_left_out": pictures_left_out})))
        self._write(self._packer.flush())
        self.close()

    def close(self) -> None:
        """Close the file as it is. Safe at any time, also twice."""
        with suppress(OSError):
            self._file.close()

    def _write(self, packed: bytes) -> None:
        try:
            self._file.write(packed)
        except OSError as error:
            raise DeviceError(f"{self.folder}: cannot be written: {error.strerror}") from error
        self.size += len(packed)

    def _flush_file(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise DeviceError(f"{self.folder}: cannot be written: {error.strerror}") from error


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def room_for(
    root: Path,
    budget: int,
    running: ShiftWriter | None = None,
    known: dict[Path, int] | None = None,
    *,
    min_free: int = 0,
) -> bool:
    """Delete the oldest records until all of them fit into `budget` bytes, and the disk has `min_free` bytes free.

    False if the running one alone does not fit into the budget.

    `known` are the sizes of finished records from an earlier call, because a record has a file for each picture.
    Raises DeviceError.
    """
    sizes = {} if known is None else known
    try:
        others = sorted(
            each for each in root.glob("*") if each.is_dir() and (running is None or each != running.folder)
        )
        for each in others:
            if each not in sizes:
                sizes[each] = _size_of(each)
        taken = running.size if running else 0
        while others and (sum(map(sizes.__getitem__, others)) + taken > budget or free_on(root) < min_free):
            shutil.rmtree(others[0])
            del sizes[others.pop(0)]
    except OSError as error:
        raise DeviceError(f"{root}: old shifts cannot be deleted: {error.strerror}") from error
    return running is None or running.size <= budget


def free_on(folder: Path) -> int:
    """Free bytes of the disk with this folder. Raises OSError."""
    return shutil.disk_usage(folder).free


def _size_of(folder: Path) -> int:
    return sum(-(-each.stat().st_size // _BLOCK) * _BLOCK for each in folder.rglob("*") if each.is_file())


class Shift:
    """A record that was written earlier. `remarks` says what is missing in it, once its steps were read.

    Raises ConfigError if its first page cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head = _head(folder)
        self.remarks: list[str] = []

    def steps(self) -> Iterator[JudgeStep]:
        """Every step in order. A record that is cut off ends early, and `remarks` says where."""
        self.remarks, number, ended = [], 0, False
        for number, line in enumerate(self._lines(), start=1):
            try:
                found = json.loads(line)
                if isinstance(found, dict) and "end" in found:
                    ended = True
                    self._say_end(found)
                    break
                yield self._checked(from_json(JudgeStep, found))
            except (ValueError, RecursionError) as error:
                self.remarks.append(f"line {number} of {_STEPS} cannot be used: {error}. What follows is left out")
                return
        if not ended:
            self.remarks.append(f"the record is cut off after {number} steps. What follows is missing")

    def picture(self, camera: str, captured_ns: int) -> Image | None:
        """The picture, or None if it is not there or damaged."""
        path = picture_path(self.folder, camera, captured_ns)
        try:
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        except cv2.error:
            return None
        return image if image is not None and image.dtype == "uint8" else None

    def _checked(self, step: JudgeStep) -> JudgeStep:
        """The step, if it speaks of cameras, recipes and classes of this shift alone. Raises ValueError."""
        unknown = [each.recipe_id for each in step.verdicts if each.recipe_id not in self.head.recipes]
        if unknown:
            raise ValueError(f"{unknown[0]} is no recipe of this station")
        for item in step.items:
            if (item.view, item.plc, item.command).count(None) != 2:
                raise ValueError("an item must be a view, a reading of the PLC or a command")
            for view in (item.view, *item.view.others) if item.view is not None else ():
                self._check_view(view)
        return step

    def _check_view(self, view: View) -> None:
        recipes = self.head.recipes
        if view.camera not in self.head.scales or view.camera not in self.head.geometry.offsets:
            raise ValueError(f"{view.camera!r} is no camera of this station")
        if view.recipe_id not in (0, *recipes):
            raise ValueError(f"{view.recipe_id} is no recipe of this station")
        limits = recipes[view.recipe_id].limits if view.recipe_id else {}
        unknown = [each.defect_class for each in view.defects if each.defect_class not in limits]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no class of recipe {view.recipe_id}")

    def _say_end(self, found: dict[str, Any]) -> None:
        why, left_out = found["end"], found.get("pictures_left_out")
        if why:
            self.remarks.append(f"the record ends early: {why}")
        if left_out:
            self.remarks.append(f"{left_out} pictures were left out, because the disk was too slow")

    def _lines(self) -> Iterator[bytes]:
        rest, unpacker = b"", zlib.decompressobj(_GZIP)
        try:
            with (self.folder / _STEPS).open("rb") as file:
                while packed := file.read(_CHUNK):
                    while packed:
                        rest += unpacker.decompress(packed, _CHUNK)
                        packed = unpacker.unconsumed_tail
                        *lines, rest = rest.split(b"\n")
                        yield from lines
                        if len(rest) > _LINE_MAX:
                            self.remarks.append("a line is too long to be a step. What follows is left out")
                            return
        except OSError as error:
            raise DeviceError(f"{self.folder / _STEPS}: cannot be read: {error.strerror}") from error
        except zlib.error as error:
            self.remarks.append(f"{_STEPS} is damaged ({error}). What follows is left out")


def _check_head(head: ShiftHead) -> None:
    """Raises ValueError if the judge could not work with this first page."""
    cameras = head.geometry.offsets.keys()
    if not head.judged or head.first_recipe not in head.recipes:
        raise ValueError(f"first_recipe {head.first_recipe} is none of its recipes")
    if not all(_CAMERA.fullmatch(camera) for camera in cameras) or cameras != head.scales.keys():
        raise ValueError("geometry and scales must have the same cameras, with proper names")
    if any(view not in cameras for views in head.geometry.shots.values() for view in views):
        raise ValueError("geometry.shots names a view that has no way from the photo-eye")
    views = {camera for each in head.judged for camera in each.recipe.views}
    if not views <= cameras:
        raise ValueError(f"{min(views - cameras)!r} is no camera of it")
    lengths = (
        head.geometry.counts_per_mm,
        head.geometry.speed_max,
        *(each for pair in head.scales.values() for each in pair),
    )
    if not all(0 < each < math.inf for each in (*lengths, head.timing.motion.speed_max)):
        raise ValueError("scales and speeds must be above 0")


def _head(folder: Path) -> ShiftHead:
    path = folder / _HEAD
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and found.get("format") != FORMAT:
            what = (
                f"is of format {found.get('format')!r}, and this version reads format {FORMAT}. Replay it with version"
            )
            raise ConfigError([Fault(str(path), f"{what} {found.get('version')}")])
        head = from_json(ShiftHead, found)
        _check_head(head)
        return head
    except OSError as error:
        raise ConfigError(
            [Fault(str(path), f"cannot be read: {error.strerror}. Is this the folder of a shift?")]
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(path), f"is damaged: {error}")]) from error
