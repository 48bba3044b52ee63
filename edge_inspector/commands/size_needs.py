"""What a line needs of its computer: arithmetic over measured costs.

Every constant is a cost from benchmarks/README.md, on cores of an AMD EPYC (Zen 3). docs/sizing.md says which run each
one is from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_inspector.simulation.bench.effort import PARTS_PER_S_MAX

BUSY_AT_MOST: Final = 0.7
"""Share of the cores, or of a GPU, that may be busy on average. Beyond it the wait for the model grows steeply."""
WIRE_AT_MOST: Final = 0.8
"""Share of a network that pictures may fill. A lost packet is sent again in the rest."""
FIXED_CORES: Final = 0.1
"""Of a core, all the time: encoder, heartbeat, exchange with PLC and broker."""
FRAME_MS: Final = 4.0
"""Of a core for each picture, beside the model: receive, check, measure, judge."""
MEGAPIXEL_MS: Final = 1.2
"""Of a core for each million pixels of a picture, to receive and check them."""
PART_MS: Final = 2.0
"""Of a core for each part: its verdict on two links."""
ELSE_MS: Final = 9.0
"""Of a verdict's time, all but model, wait and network, in 99 of 100 cases."""
BASE_MB: Final = 150.0
"""Memory of a station without its model and its pictures, with one page open."""
CAMERA_MB: Final = 2.0
"""Memory of each camera, beside its pictures."""
FRAME_BUFFERS: Final = 16
"""Pictures for which a network camera's driver has memory."""
PART_BYTES: Final = 300.0
"""On the disk for each part: verdict, times, deliveries."""
VIEW_BYTES: Final = 140.0
"""On the disk for each view of a part, with a defect now and then."""
PNG_SHARE: Final = 0.5
"""What a lossless file takes of a picture's bytes."""
PACKETS: Final = 1.05
"""What packets put around a picture on the wire."""
_DAY_S: Final = 86_400.0
_NEVER_MS: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedView:
    """One view of each part. `way_mm`: from its camera to the gate. `wire_bytes`: of a picture, 0 if no network."""

    name: str
    width: int
    height: int
    windows: int
    way_mm: float
    wire_bytes: int

    @property
    def pixels(self) -> int:
        """Of a picture."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A line and its computer.

    - `views`: all views of a part.
    - `ms`: a window of the model takes so long on a core, or on a device.
    - `places`: windows at the same time. On a CPU they are its cores.
    - `on_device`: the model runs on GPUs or servers, and takes none of the `cores`.
    - `frame_bytes`: of a pixel with its share of the mask, in memory.
    - `rejected`: share of the parts.
    """

    views: Sequence[SizedView]
    parts_per_s: float
    speed_mm_s: float
    reserve_ms: float
    ms: float
    places: int
    cores: int
    on_device: bool
    channels: int
    mask_share: float
    rejected: float
    model_mb: float
    album_mb: int
    queue_frames: int
    images_mb: int
    accepted_one_in: int
    pictures_per_s: float
    link_mbit: float

    def faster(self, times: float) -> Sized:
        """The same line, so many times faster."""
        return replace(self, parts_per_s=self.parts_per_s * times, speed_mm_s=self.speed_mm_s * times)


def windows(line: Sized) -> int:
    """Of all views of a part."""
    return sum(view.windows for view in line.views)


def model_load(line: Sized) -> float:
    """Cores, or devices, that the model keeps busy."""
    return line.parts_per_s * windows(line) * line.ms / 1000


def other_load(line: Sized) -> float:
    """Cores that everything beside the model keeps busy."""
    pixels = sum(view.pixels for view in line.views)
    part_ms = PART_MS + FRAME_MS * len(line.views) + MEGAPIXEL_MS * pixels / 1e6
    return FIXED_CORES + line.parts_per_s * part_ms / 1000


def core_load(line: Sized) -> float:
    """Cores of this computer that are busy."""
    return other_load(line) + (0.0 if line.on_device else model_load(line))


def cores_needed(line: Sized) -> int:
    """Cores of which at most `BUSY_AT_MOST` are busy."""
    return max(1, math.ceil(core_load(line) / BUSY_AT_MOST))


def devices_needed(line: Sized) -> int:
    """GPUs or servers like the measured one, of which at most `BUSY_AT_MOST` are busy. 0 if none has the model."""
    return max(1, math.ceil(model_load(line) / line.places / BUSY_AT_MOST)) if line.on_device else 0


def busy(line: Sized) -> float:
    """The share of the places of the model that are taken."""
    return model_load(line) / line.places if line.on_device else core_load(line) / line.cores


def wire_ms(line: Sized, view: SizedView) -> float:
    """How long a picture takes on the network."""
    return PACKETS * view.wire_bytes * 8 / (line.link_mbit * 1000)


def verdict_ms(line: Sized, view: SizedView) -> float:
    """From a picture to the PLC in 99 of 100 cases, if all views of a part come at the same time and this one is last.

    The wait for the model grows with its load, as 1 / (1 - load).
    """
    free = 1 - busy(line)
    if free <= 0:
        return _NEVER_MS
    return wire_ms(line, view) + math.ceil(windows(line) / line.places) * line.ms / free + ELSE_MS


def left_ms(line: Sized, view: SizedView) -> float:
    """From a picture to the part's decision line, at the belt's greatest speed."""
    return view.way_mm / line.speed_mm_s * 1000 - line.reserve_ms


def slack_ms(line: Sized) -> float:
    """What is left of the view that has the least time."""
    return min(left_ms(line, view) - verdict_ms(line, view) for view in line.views)


def frame_mb(line: Sized, view: SizedView) -> float:
    """A picture with its mask, in memory."""
    return view.pixels * (line.channels + line.mask_share) / 1e6


def album_needed_mb(line: Sized) -> float:
    """Two seconds of all pictures."""
    return 2 * line.parts_per_s * sum(frame_mb(line, view) for view in line.views)


def memory_mb(line: Sized) -> float:
    """What the station takes while the model keeps up."""
    received = FRAME_BUFFERS * sum(view.wire_bytes for view in line.views) / 1e6
    return BASE_MB + CAMERA_MB * len(line.views) + line.model_mb + line.album_mb + received


def queue_mb(line: Sized) -> float:
    """What pictures take beyond that, that wait for a model that has fallen behind."""
    return line.queue_frames * max(frame_mb(line, view) for view in line.views)


def results_mb_day(line: Sized) -> float:
    """Results on the disk, each day that the line runs without a break."""
    return line.parts_per_s * (PART_BYTES + VIEW_BYTES * len(line.views)) * _DAY_S / 1e6


def views_kept_per_s(line: Sized) -> float:
    """Views whose pictures are kept: those of rejected parts, and of a sample of the others, up to the limits."""
    views = line.parts_per_s * len(line.views)
    sampled = views * (1 - line.rejected) / line.accepted_one_in if line.accepted_one_in else 0.0
    return min(views * line.rejected, line.pictures_per_s) + min(sampled, line.pictures_per_s / 4)


def pictures_mb_day(line: Sized) -> float:
    """Pictures on the disk, each day that the line runs without a break."""
    picture_mb = sum(view.pixels for view in line.views) / len(line.views) * line.channels * PNG_SHARE / 1e6
    return views_kept_per_s(line) * picture_mb * _DAY_S


def wire_mbit(line: Sized, view: SizedView) -> float:
    """What one view puts on the network."""
    return PACKETS * view.wire_bytes * 8 * line.parts_per_s / 1e6


def parts_per_s_max(line: Sized) -> dict[str, float]:
    """By what limits it: the parts per second up to which it goes well, if the whole line becomes faster."""
    model, others = model_load(line) / line.parts_per_s, (other_load(line) - FIXED_CORES) / line.parts_per_s
    own = others + (0.0 if line.on_device else model)
    found = {
        "the processor": (BUSY_AT_MOST * line.cores - FIXED_CORES) / own,
        "the way to the gate": line.parts_per_s * _most_times(line),
        "the PLC's list of triggers": PARTS_PER_S_MAX,
    }
    if line.on_device:
        found["the GPU or server"] = BUSY_AT_MOST * line.places / model
    heaviest = max(wire_mbit(line, view) for view in line.views)
    if heaviest:
        found["the network of a camera"] = line.parts_per_s * WIRE_AT_MOST * line.link_mbit / heaviest
    return {name: max(0.0, most) for name, most in found.items()}


def _most_times(line: Sized) -> float:
    """How many times faster the line may become until a verdict comes too late. Slack only falls with it."""
    low, high = 0.0, 1.0
    while high < 1e6 and slack_ms(line.faster(high)) >= 0:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slack_ms(line.faster(middle)) >= 0 else (low, middle)
    return low
