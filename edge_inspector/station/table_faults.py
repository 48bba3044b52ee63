"""Faults of a station file's tables that show only when several keys or tables are compared."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from edge_inspector.drivers import DriverSettings, PeerKind, load_driver
from edge_inspector.errors import Fault
from edge_inspector.host_name import is_loopback
from edge_inspector.inspection.recipe import ClassLimits, Recipe
from edge_inspector.records import ModelInfo
from edge_inspector.station.tables import CameraTable, PlcTable, StationFile, WebTable

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")


def web_faults(web: WebTable) -> Iterator[Fault]:
    """Traffic over a network must be encrypted, unless the settings allow plain traffic. Paths must be absolute."""
    pair = {"certificate": web.certificate, "private_key": web.private_key}
    paths = {key: path for key, path in pair.items() if path is not None}
    if len(paths) == 1:
        yield Fault("web.private_key", "certificate and private_key belong together: set both or neither")
    missing = [Fault(f"web.{key}", f"{path} is not a file") for key, path in paths.items() if not path.is_file()]
    yield from missing
    if web.certificate is not None and web.private_key is not None and not missing:
        yield from _certificate_faults(web.certificate, web.private_key)
    if web.machines_token_file is not None:
        yield from _token_faults(web.machines_token_file)
    if not is_loopback(web.host) and not paths and not web.allow_plain:
        yield Fault(
            "web.host",
            f"{web.host} is open to the network: set web.certificate and web.private_key, or set "
            "web.allow_plain = true if a reverse proxy or the network itself protects the page",
        )


def _certificate_faults(certificate: Path, private_key: Path) -> Iterator[Fault]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key)
    except (ssl.SSLError, OSError) as error:
        yield Fault("web.certificate", f"cannot be used with web.private_key: {error}")


def read_token(path: Path) -> str:
    """The token in this file. Raises OSError, or ValueError if it is none."""
    token = path.read_text(encoding="ascii").strip()
    if not _TOKEN.fullmatch(token):
        raise ValueError("must hold one token of 16 to 256 of A-Z a-z 0-9 . _ ~ + / = -")
    return token


def _token_faults(path: Path) -> Iterator[Fault]:
    try:
        read_token(path)
    except (OSError, ValueError) as error:
        yield Fault("web.machines_token_file", f"{path}: {error}. `openssl rand -hex 16` makes a token")


def rollout_faults(file: StationFile) -> Iterator[Fault]:
    """What comes over the network is taken only from somebody whom the station trusts."""
    if file.rollout.accept and not file.trust.keys:
        what = "needs trust.keys: the public keys of those whose models this station takes (`edge-inspector sign`)"
        yield Fault("rollout.accept", what)


def names_twice(family: str, tables: Sequence[CameraTable | PlcTable]) -> Iterator[Fault]:
    """Each camera and each link needs a name of its own."""
    for at, table in enumerate(tables):
        if table.name in {earlier.name for earlier in tables[:at]}:
            yield Fault(f"{family}.{at}.name", f"{table.name!r} is used twice")


def devices_twice(file: StationFile, settings: Sequence[DriverSettings | None]) -> Iterator[Fault]:
    """Only one camera of the station can open a device."""
    holders: dict[str, str] = {}
    for at, (table, chosen) in enumerate(zip(file.cameras, settings, strict=True)):
        if chosen is None or chosen.device is None:
            continue
        if chosen.device in holders:
            what = f"{chosen.device} is already used by camera {holders[chosen.device]!r}"
            yield Fault(f"cameras.{at}.settings", what)
        holders[chosen.device] = table.name


def link_faults(file: StationFile, settings: Sequence[DriverSettings | None]) -> Iterator[Fault]:
    """The first link announces the parts, unless the file says who does. A station has one PLC.

    One outbox can track the deliveries to one broker only, so each broker needs its own.
    """
    kinds, first = [_peer_kind(link) for link in file.plcs], settings[0]
    here = file.parts.announced_by is not None or file.roll is not None
    if kinds[0] is PeerKind.BROKER and not here and (first is None or not first.announces):
        yield Fault(
            "plcs.0.driver",
            "the first link must be a PLC: parts are announced by its trigger ring. "
            "Write its [[plcs]] table before the broker's, or say in [parts] who announces them",
        )
    for at, kind in enumerate(kinds):
        if kind is PeerKind.PLC and kind in kinds[:at]:
            yield Fault(f"plcs.{at}.driver", "a second PLC: at most one PLC")
        for before in (each for each in range(at) if kind is PeerKind.BROKER and kinds[each] is kind):
            yield from _brokers_alike(f"plcs.{at}", settings[before], settings[at])


def _brokers_alike(where: str, first: DriverSettings | None, second: DriverSettings | None) -> Iterator[Fault]:
    for key, why in (
        ("outbox", "what waits for one broker must not be sent to the other"),
        ("host", "it is one broker"),
    ):
        same = getattr(first, key, None)
        if first is not None and second is not None and same is not None and same == getattr(second, key, None):
            if key == "host" and getattr(first, "port", None) != getattr(second, "port", None):
                continue
            yield Fault(f"{where}.settings.{key}", f"{same!r} is that of another broker of this station: {why}")


def _peer_kind(link: PlcTable) -> PeerKind | None:
    try:
        kind: PeerKind | None = load_driver("plcs", link.driver).Settings.peer_kind
    except (KeyError, ImportError):
        return None
    return kind


def beside_faults(path: Path, recipe: Recipe, before: Iterable[Recipe]) -> Iterator[Fault]:
    """The recipe in `path` must demand the same file of its model as the first of those `before` it with that model."""
    first = next((each for each in before if each.model == recipe.model), recipe)
    if recipe.model_sha256 not in (None, first.model_sha256):
        yield Fault(
            f"{path}: model_sha256", f"must be that of recipe {first.id}: one file of {recipe.model} judges for both"
        )


def several_models_faults(file: StationFile, names: Collection[str]) -> Iterator[Fault]:
    """What a station cannot do yet whose recipes name several models."""
    if len(names) < 2:
        return
    what = f"cannot be used while the recipes have several models ({', '.join(names)})"
    if file.shadow is not None:
        yield Fault("shadow", f"{what}: remove the table, or use recipes with one model")
    if file.record.budget_mb:
        yield Fault("record.budget_mb", f"{what}: write 0, or use recipes with one model")


def class_faults(path: Path, recipe: Recipe, model: ModelInfo, limits: dict[str, ClassLimits]) -> Iterator[Fault]:
    """The recipe names classes of the model only, and each class of the model has limits."""
    for name in recipe.classes:
        if name not in model.classes:
            yield Fault(f"{path}: classes.{name}", f"the model knows only: {', '.join(model.classes)}")
    for at, grade in enumerate(recipe.grades):
        for name in grade.classes:
            if name not in model.classes:
                yield Fault(f"{path}: grades.{at}.classes.{name}", f"the model knows only: {', '.join(model.classes)}")
    for name in model.classes:
        if name not in limits:
            yield Fault(f"{path}: classes.{name}", "is missing, and the model suggests no limits for it")
