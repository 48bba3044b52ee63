"""The checks of `edge-inspector doctor STATION.toml` for what this station needs from the machine."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edge_inspector.drivers import DriverSettings, PeerKind, load_driver
from edge_inspector.errors import ConfigError, DeviceError
from edge_inspector.host_name import is_loopback
from edge_inspector.runtime.clock import utc_of
from edge_inspector.settings import exposed
from edge_inspector.station.load import read_places
from edge_inspector.station.tables import WebTable
from edge_inspector.store.state_folder import try_folder
from edge_inspector.store.users import read_users
from edge_inspector.web.server import listen

_FREE_BYTES: Final = 2 << 30
_REACH_S: Final = 2.0
_CERTIFICATE_DAYS: Final = 30
_DAY_S: Final = 86_400

Run = Callable[[list[str]], str | None]
Look = tuple[str, str]
"""What was found, and what to do about it. The remedy is empty if all is in order."""


def look_at_station(path: Path, run: Run) -> Iterator[Look]:
    """Check this machine for the station in `path`. `run` runs a command. Raises ConfigError for a wrong file."""
    file, state_dir, web = read_places(path)
    yield _state(state_dir)
    yield _page(web, run)
    yield from _certificate(web, run)
    yield _users(path, web)
    yield _new_start(run, Path("/"), needed=file.rollout.accept)
    yield from ((f"others can read web.{key}", f"chmod o-rwx {secret}") for key, secret in exposed(web))
    for table in file.plcs:
        yield from _peer(table.name, table.driver, table.settings)
    for camera in file.cameras:
        yield from _device(camera.name, camera.settings.get("source"))


def _state(folder: Path) -> Look:
    try:
        free = try_folder(folder)
    except DeviceError as error:
        return "the state folder cannot be used", str(error)
    remedy = f"make room: du -xh --max-depth=1 {folder} | sort -h" if free < _FREE_BYTES else ""
    return f"{free / 1e9:.1f} GB free in {folder}", remedy


def _page(web: WebTable, run: Run) -> Look:
    try:
        listen(web).close()
    except DeviceError as error:
        if (run(["systemctl", "is-active", "edge-inspector"]) or "").strip() == "active":
            return "the station runs, and has the page's port", ""
        return "the page cannot be served now", str(error)
    return f"the page's port {web.port} is free", ""


def _certificate(web: WebTable, run: Run) -> Iterator[Look]:
    if web.certificate is None:
        return
    told = run(["openssl", "x509", "-enddate", "-noout", "-in", str(web.certificate)])
    if told is None:
        yield f"openssl does not read {web.certificate}", "write web.certificate = the page's PEM file, its own first"
        return
    ends = ssl.cert_time_to_seconds(told.strip().removeprefix("notAfter="))
    days = (ends - utc_of(time.monotonic_ns()).timestamp()) / _DAY_S
    what = f"the page's certificate ends in {days:.0f} days" if days > 0 else "the page's certificate has expired"
    yield what, "renew it, then: systemctl restart edge-inspector" if days < _CERTIFICATE_DAYS else ""


def _users(station: Path, web: WebTable) -> Look:
    try:
        users = read_users(web.users)
    except ConfigError as error:
        return "nobody can log in to the page", str(error)
    if not users:
        command = f"edge-inspector user add NAME --role admin --station {station}"
        return f"nobody can log in to the page: {web.users} has no users", command
    if web.users.stat().st_mode & 0o007:
        return "others can read the users file", f"chmod o-rwx {web.users}"
    return f"{len(users)} users of the page", ""


def _new_start(run: Run, root: Path, *, needed: bool) -> Look:
    """Whether somebody starts the daemon again when it ends. A roll-out ends it in order, so it counts on that."""
    told = run(["systemctl", "show", "edge-inspector", "--property=LoadState", "--property=Restart"]) or ""
    shown = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    if shown.get("LoadState") == "loaded":
        how = shown.get("Restart", "")
        if how == "always":
            return "systemd starts the station again whenever it ends", ""
        edit = "write [Service] and Restart=always with: systemctl edit edge-inspector"
        return f"systemd does not start the station again whenever it ends (Restart={how})", edit
    if "KUBERNETES_SERVICE_HOST" in os.environ:  # kubelet sets it in each container
        return "Kubernetes starts the station again when it ends", ""
    if any((root / each).exists() for each in (".dockerenv", "run/.containerenv")):
        inspect = "docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' NAME"
        return f"a container cannot see whether it is started again: `{inspect}` must say always or unless-stopped", ""
    remedy = "sudo deploy/install.sh installs the service (docs/how-to/service.md)" if needed else ""
    return "no service is seen that starts the station again when it ends", remedy


def _peer(name: str, driver: str, settings: dict[str, Any]) -> Iterator[Look]:
    kind = DriverSettings
    try:
        kind = load_driver("plcs", driver).Settings
    except KeyError:
        pass  # `check` names the drivers that there are
    except ImportError as error:
        yield f"{name!r}: driver {driver!r} needs a package that is not installed", str(error)
    host = settings.get("host")
    port = settings.get("port", kind.model_fields["port"].default if "port" in kind.model_fields else None)
    if not isinstance(host, str) or not isinstance(port, int):
        return
    try:
        socket.create_connection((host, port), _REACH_S).close()
    except OSError as error:
        start = (
            "systemctl start mosquitto" if kind.peer_kind is PeerKind.BROKER and is_loopback(host) else f"ping {host}"
        )
        yield f"{name!r} does not answer on {host} port {port}: {error}", start
    else:
        yield f"{name!r} answers on {host} port {port}", ""


def _device(name: str, source: object) -> Iterator[Look]:
    if not isinstance(source, str) or not source.startswith("/dev/"):
        return
    if not Path(source).exists():
        yield f"camera {name!r}: {source} is not there", "edge-inspector cameras"
    elif not os.access(source, os.R_OK | os.W_OK):
        user = os.environ.get("USER", "edge-inspector")
        yield f"camera {name!r}: this user may not use {source}", f"usermod -aG video {user}, then log in again"
    else:
        yield f"camera {name!r}: {source} is there, and this user may use it", ""
