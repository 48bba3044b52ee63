"""What `edge-inspector size` says: one sentence for each thing that a line needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edge_inspector.commands.size_needs import (
    BUSY_AT_MOST,
    WIRE_AT_MOST,
    Sized,
    SizedView,
    album_needed_mb,
    core_load,
    cores_needed,
    devices_needed,
    left_ms,
    memory_mb,
    model_load,
    other_load,
    parts_per_s_max,
    pictures_mb_day,
    queue_mb,
    results_mb_day,
    verdict_ms,
    wire_mbit,
    wire_ms,
)

_SOON_MS = 1e6


class Need(NamedTuple):
    """One sentence. `fits`: it is so on this computer and this line."""

    kind: str
    what: str
    fits: bool = True


def needs(line: Sized, model: str) -> Iterator[Need]:
    """All sentences. `model` says which model runs where, and how fast."""
    yield _line(line)
    yield Need("model", model)
    yield _cores(line)
    if line.on_device:
        yield _devices(line)
    yield from (_latency(line, view) for view in _different(line))
    yield _memory(line)
    if album_needed_mb(line) > line.album_mb:
        wanted = f"two seconds of pictures are {_size(album_needed_mb(line))}, and archive.album_mb is {line.album_mb}"
        yield Need(
            "album", f"{wanted}: set it to {round(album_needed_mb(line)) + 1}, or pictures are left out", fits=False
        )
    yield _disk(line)
    yield from (_network(line, view) for view in _different(line) if view.wire_bytes)
    yield _limit(line)


def _different(line: Sized) -> Iterator[SizedView]:
    """One view of each kind. Of equal ones the first stands for all."""
    seen = set()
    for view in line.views:
        kind = (view.width, view.height, view.way_mm, view.wire_bytes)
        if kind not in seen:
            seen.add(kind)
            yield view


def _line(line: Sized) -> Need:
    count, pixels = len(line.views), sum(view.pixels for view in line.views)
    windows = sum(view.windows for view in line.views)
    views = "one view" if count == 1 else f"{count} views"
    return Need(
        "line",
        f"{line.parts_per_s:.3g} parts/s at {line.speed_mm_s:.4g} mm/s, {views} of each part with "
        f"{pixels / 1e6:.3g} megapixels together, in {windows} window{'s' if windows != 1 else ''} of the model",
    )


def _cores(line: Sized) -> Need:
    needed, load = cores_needed(line), core_load(line)
    of = f"{_number(other_load(line))} for everything else"
    if not line.on_device:
        of = f"{_number(model_load(line))} for the model and {of}"
    return Need(
        "cores",
        f"{_number(load)} are busy on average, {of}, so it needs {needed} to keep {1 - BUSY_AT_MOST:.0%} free, "
        f"and has {line.cores}",
        needed <= line.cores,
    )


def _devices(line: Sized) -> Need:
    needed = devices_needed(line)
    load = _number(model_load(line))
    told = f"the model keeps {load} GPUs or servers busy, so it needs {needed}, and has {line.places}"
    return Need("devices", told, needed <= line.places)


def _latency(line: Sized, view: SizedView) -> Need:
    takes, left = verdict_ms(line, view), left_ms(line, view)
    name = view.name or "the last camera"
    if takes > _SOON_MS:
        return Need("time", f"{name}: the model never catches up, so verdicts come too late", fits=False)
    return Need(
        "time",
        f"{name}: 99 of 100 verdicts take at most {takes:.0f} ms, and the part is at its decision line after "
        f"{max(0.0, left):.0f} ms ({line.reserve_ms:g} ms before the due count)"
        + ("" if takes <= left else f": move the gate {(takes - left) * line.speed_mm_s / 1000:.0f} mm further away"),
        takes <= left,
    )


def _memory(line: Sized) -> Need:
    return Need(
        "memory",
        f"{_size(memory_mb(line))}, and up to {_size(queue_mb(line))} more while pictures wait for the model",
    )


def _disk(line: Sized) -> Need:
    pictures = pictures_mb_day(line)
    told = (
        f"{_size(results_mb_day(line))} of results and {_size(pictures)} of pictures in 24 hours without a break "
        f"({line.rejected:.2g} of the parts rejected)"
    )
    if pictures:
        told += f", so archive.images_mb = {line.images_mb} holds those of {_days(line.images_mb / pictures)}"
    return Need("disk", told)


def _network(line: Sized, view: SizedView) -> Need:
    rate = wire_mbit(line, view)
    return Need(
        "network",
        f"{view.name or 'each camera'}: {rate:.3g} Mbit/s of {line.link_mbit:g}, and a picture takes "
        f"{wire_ms(line, view):.2g} ms on the wire",
        rate <= WIRE_AT_MOST * line.link_mbit,
    )


def _limit(line: Sized) -> Need:
    found = parts_per_s_max(line)
    what, most = min(found.items(), key=lambda each: each[1])
    return Need(
        "limit",
        f"{what} ends it first, at {most:.3g} parts/s ({most * line.speed_mm_s / line.parts_per_s:.4g} mm/s)",
        most >= line.parts_per_s,
    )


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.2g} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def _days(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
