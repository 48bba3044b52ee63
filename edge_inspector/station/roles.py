"""The three roles at a line: who announces the parts, who knows where the belt is, and who gets the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_inspector.codes import Promise
from edge_inspector.drivers import DriverSettings, PeerKind
from edge_inspector.errors import Fault
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.station.tables import StationFile
from edge_inspector.wording import did_you_mean

_NO_BELT = 1.0, 1000.0  # counts per millimetre and speed, where one count is one millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The roles of one station. One of `link` and `camera` announces the parts, by its place in the station file.

    Neither does on a web: its pieces are announced by the encoder.

    `promise` is the most that these roles allow, and `why` names what limits it. `one_plc`: triggers and counts come
    from one PLC that says from which run of it. The station has a fault without one of its `vital` links.
    """

    link: int | None
    camera: int | None
    promise: Promise
    why: str
    one_plc: bool
    settle_s: float | None
    vital: frozenset[str]


def roles_of(
    file: StationFile, cameras: Sequence[DriverSettings], encoder: DriverSettings, links: Sequence[DriverSettings]
) -> Roles:
    """The roles in a station file without faults of `role_faults`."""
    link, camera = _announcer(file)
    source = encoder if file.roll is not None else links[link] if link is not None else cameras[camera or 0]
    promise, why = _promise(file, source, encoder, links)
    return Roles(
        link=link,
        camera=camera,
        promise=promise,
        why=why,
        one_plc=link is not None and source.states_run and encoder.states_run,
        settle_s=encoder.settle_s if _stop_matters(encoder, links) else None,
        vital=frozenset(_vital(file, links, link)),
    )


def role_faults(
    file: StationFile,
    cameras: Sequence[DriverSettings | None],
    encoder: DriverSettings | None,
    links: Sequence[DriverSettings | None],
) -> list[Fault]:
    """What is wrong with the roles: nobody announces, the promise is not the one written, nobody knows the belt."""
    seeing, told = [each for each in cameras if each is not None], [each for each in links if each is not None]
    if encoder is None or len(seeing) < len(cameras) or len(told) < len(links):
        return []  # the faults of their settings come first
    if file.roll is None and file.parts.announced_by is None and not told[0].announces:
        return []  # link_faults says it
    faults = [*_announcer_faults(file, told), *_encoder_faults(file, encoder, told)]
    if faults:
        return faults
    roles = roles_of(file, seeing, encoder, told)
    if file.line.promise is not roles.promise:
        strong = "cannot promise" if file.line.promise.rank < roles.promise.rank else "promises more than"
        faults.append(
            Fault(
                "line.promise",
                f"this station {strong} {file.line.promise.value!r}: {roles.why}. Write promise = "
                f'"{roles.promise.value}"; docs/safety.md says what that means',
            )
        )
    return faults


def travel_faults(file: StationFile, encoder: DriverSettings | None, recipe: Recipe) -> list[Fault]:
    """Whether a part at the gate is known well enough without an encoder."""
    if encoder is None:
        return []
    error_mm, tolerance_mm = encoder.travel_error * file.line.gate_mm, recipe.position_tolerance_mm
    if error_mm <= tolerance_mm:
        return []
    return [
        Fault(
            "encoder.settings.speed_error_percent",
            f"{encoder.travel_error * 100:g} % of line.gate_mm = {file.line.gate_mm:g} are {error_mm:.3g} mm at the "
            f"gate, recipe {recipe.id} allows position_tolerance_mm = {tolerance_mm:g}: move the gate nearer, hold the "
            "speed better, or take an encoder",
        )
    ]


def _announcer(file: StationFile) -> tuple[int | None, int | None]:
    name = file.parts.announced_by
    if file.roll is not None:
        return None, None
    if name is None:
        return 0, None
    for at, link in enumerate(file.plcs):
        if link.name == name:
            return at, None
    return None, next((at for at, camera in enumerate(file.cameras) if camera.name == name), None)


def _announcer_faults(file: StationFile, links: Sequence[DriverSettings]) -> Iterator[Fault]:
    name = file.parts.announced_by
    link, camera = _announcer(file)
    names = [*(table.name for table in file.plcs), *(table.name for table in file.cameras)]
    for at, each in enumerate(links):
        if each.peer_kind is PeerKind.PLC and at != link and (name or file.roll):
            yield Fault(
                f"plcs.{at}.driver",
                "this link takes verdicts only on parts that its own PLC has announced, and here another one "
                "announces: let the PLC listen over mqtt, or switch an output with modbus-output",
            )
    if file.roll is not None:
        return
    if name is not None and names.count(name) > 1:
        yield Fault("parts.announced_by", f"{name!r} is the name of a link and of a camera: give one of them another")
    elif link is None and camera is None:
        there_are = f"no link and no camera is called {name!r}; there are: {', '.join(names)}"
        yield Fault("parts.announced_by", there_are + did_you_mean(name or "", names))
    elif link is not None and not links[link].announces:
        yield Fault(
            "parts.announced_by",
            f"{file.plcs[link].name!r} does not announce parts: a broker does with triggers = true in its settings",
        )
    elif link is not None and file.parts.on_call:
        yield Fault("parts.on_call", "only pictures can be called: write the camera's name as announced_by")
    elif camera is not None and file.cameras[camera].offset_mm:
        yield Fault(
            f"cameras.{camera}.offset_mm",
            "must be 0: its picture is where all positions are measured from, also line.gate_mm",
        )


def _encoder_faults(file: StationFile, encoder: DriverSettings, links: Sequence[DriverSettings]) -> Iterator[Fault]:
    line, camera = file.line, encoder.reads_camera
    if camera is not None and camera not in [table.name for table in file.cameras]:
        yield Fault("encoder.settings.camera", f"no camera is called {camera!r}")
    if encoder.settle_s is not None and _stop_matters(encoder, links) and not any(link.tells_running for link in links):
        yield Fault(
            "encoder.driver",
            "without an encoder somebody must tell when the belt stops, and no link does. Give one the signal "
            "(docs/lines.md), or write never_stops = true in encoder.settings if the belt surely never stops",
        )
    if encoder.promise is Promise.BENCH and (line.counts_per_mm, line.speed_max_mm_s) != _NO_BELT:
        yield Fault(
            "line.counts_per_mm",
            "without a belt one count is one millisecond: write counts_per_mm = 1 and "
            "speed_max_mm_s = 1000, and gate_mm = the longest wait for the answer in ms",
        )
    said = getattr(encoder, "counts_per_mm", line.scale)
    if said != line.scale:
        yield Fault("encoder.settings.counts_per_mm", f"must be that of [line], {line.scale:g}")


def _promise(
    file: StationFile, source: DriverSettings, encoder: DriverSettings, links: Sequence[DriverSettings]
) -> tuple[Promise, str]:
    """The weakest of the three roles. Of several links that get the verdicts, the strongest counts."""
    name = file.parts.announced_by or file.plcs[0].name
    announced = source.promise
    if all(source is not link for link in links):
        announced = max(announced, Promise.COUNTED, key=_rank)
    told = min((link.promise for link in links), key=_rank)
    reasons = {
        Promise.ACKNOWLEDGED: "the PLC numbers each part and acknowledges each verdict",
        Promise.COUNTED: "nobody acknowledges the verdicts",
        Promise.UNCOUNTED: f"{name!r} does not number the parts, so that a lost one is not noticed",
        Promise.TIMED: "positions follow from the time, not from an encoder",
        Promise.BENCH: "there is no belt and no gate",
    }
    placed = Promise.TIMED if _blind_between(encoder, links) else encoder.promise
    weakest = max((announced, told, placed), key=_rank)
    return weakest, reasons[weakest]


def _stop_matters(encoder: DriverSettings, links: Sequence[DriverSettings]) -> bool:
    """Whether positions or the gate are wrong after a stop of the belt that nobody tells."""
    return encoder.reads_camera is None or _blind_between(encoder, links)


def _blind_between(encoder: DriverSettings, links: Sequence[DriverSettings]) -> bool:
    """Whether the gate acts by time, while the belt is seen at pictures only."""
    return encoder.reads_camera is not None and any(link.acts_by_time for link in links)


def _vital(file: StationFile, links: Sequence[DriverSettings], source: int | None) -> Iterator[str]:
    brokers_only = all(link.peer_kind is PeerKind.BROKER for link in links)
    for at, (table, link) in enumerate(zip(file.plcs, links, strict=True)):
        if link.peer_kind is not PeerKind.BROKER or at == source or (brokers_only and at == 0):
            yield table.name


def _rank(promise: Promise) -> int:
    return promise.rank
