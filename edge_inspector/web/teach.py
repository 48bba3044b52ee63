"""Teach a model on the page. The work is a process of its own, at the lowest class, and survives the daemon."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.codes import Decision, Reason
from edge_inspector.errors import DeviceError
from edge_inspector.records import Verdict
from edge_inspector.store.teaching import cancel, read_report, read_teaching, teaching_dir
from edge_inspector.store.uploads import Uploads
from edge_inspector.store.users import Role
from edge_inspector.web.access import Access, Endpoint, RequestError, read_json, text_of
from edge_inspector.web.plant import Plant
from edge_inspector.web.stored import bytes_of
from edge_inspector.web.writes import changed, user_of, written

_NEEDS: Final = {"good": ("onnx", "onnxruntime"), "quick": ("onnx", "onnxruntime", "torch")}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MINUTES_MAX: Final = 24 * 60
_RESERVE: Final = 0.15
"""Share of a part's time from the photo-eye to the gate that must be left after its decision."""


class Teach:
    """The URLs below /api/teach."""

    def __init__(self, plant: Plant, access: Access) -> None:
        self._plant = plant
        self._access = access
        self._folder = teaching_dir(plant.station.state_dir)
        self._uploads = Uploads(plant.station.state_dir)
        self._process: subprocess.Popen[bytes] | None = None

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class."""
        return [
            Endpoint("GET", "/api/teach", self._now, slow=True),
            Endpoint("GET", "/api/teach/worst/{part:part}", self._worst, slow=True),
            Endpoint("POST", "/api/teach/start", self._start, Role.ADMIN, slow=True),
            Endpoint("POST", "/api/teach/cancel", self._cancel, Role.ADMIN, slow=True),
            Endpoint("POST", "/api/teach/accept", self._accept, Role.ADMIN, slow=True),
        ]

    async def _now(self, request: Request) -> Response:
        del request
        job = read_teaching(self._folder)
        try:
            marks = self._plant.results.marked()
            uploads = sum(each.said for each in self._uploads.all())
        except DeviceError as error:
            raise RequestError(503, str(error)) from error
        done = job is not None and job.ended == "done"
        return JSONResponse(
            {
                "job": job
                and {
                    "name": job.name,
                    "method": job.method,
                    "share": job.share,
                    "left_s": job.left_s,
                    "ended": job.ended,
                    "why": job.why,
                },
                "starting": self._runs() and (job is None or bool(job.ended)),
                "report": read_report(self._folder) if done else None,
                "good": marks.get("good", 0),
                "bad": marks.get("defect", 0),
                "uploads": uploads,
                "missing": {method: _missing(method) for method in _NEEDS},
                "busy": busy(self._plant.scene().verdicts),
            }
        )

    async def _worst(self, request: Request) -> Response:
        content = bytes_of(self._folder / f"worst-{request.path_params['part']}.jpg")
        return Response(content, media_type="image/jpeg")

    async def _start(self, request: Request) -> Response:
        body = await read_json(request)
        name, version, method = (text_of(body, key, 32) for key in ("name", "version", "method"))
        minutes = body.get("minutes")
        for key, text in {"name": name, "version": version}.items():
            if not _NAME.fullmatch(text):
                raise RequestError(400, f"{key}: letters, digits, dots and dashes are needed")
        if method not in _NEEDS:
            raise RequestError(400, f"method: one of {', '.join(_NEEDS)}")
        if type(minutes) not in (int, float) or not 0 < minutes <= _MINUTES_MAX:  # type: ignore[operator]
            raise RequestError(400, f"minutes: a number up to {_MINUTES_MAX} is needed")
        if _missing(method):
            raise RequestError(409, f"{', '.join(_missing(method))}: not installed. {_INSTALL}")
        job = read_teaching(self._folder)
        if self._runs() or (job is not None and not job.ended):
            raise RequestError(409, "a model is being taught already: wait for it, or cancel it")
        why = busy(self._plant.scene().verdicts)
        if why:
            raise RequestError(409, f"the line needs the cores now: {why}")
        if (self._plant.station.models_dir / f"{name}-{version}").exists():
            raise RequestError(409, f"there is a model {name}-{version} already: give another version")
        words = ["--name", name, "--version", version, "--method", method, "--minutes", str(minutes)]
        self._process = self._begin(words)
        user = user_of(self._access, request)
        changed(self._plant, user, "teach", subject=f"{name}-{version}", after=method)
        return JSONResponse({"started": True})

    def _begin(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """The job in a session of its own, so that no signal to the daemon ends it."""
        command = [sys.executable, "-m", "edge_inspector", "model", "teach", str(self._plant.station.state_dir), *words]
        try:
            with (self._plant.station.state_dir / "teaching.log").open("wb") as log:
                return subprocess.Popen(  # noqa: S603 -- of checked words
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise RequestError(503, f"the job cannot be started: {error.strerror}") from error

    async def _cancel(self, request: Request) -> Response:
        if not await written(self._plant, lambda _: cancel(self._folder)):
            raise RequestError(409, "no model is being taught")
        changed(self._plant, user_of(self._access, request), "teach_cancel")
        return JSONResponse({"cancelled": True})

    async def _accept(self, request: Request) -> Response:
        """Copy the model to where stations look. It judges when somebody names it in the recipe."""
        job, report = read_teaching(self._folder), read_report(self._folder)
        model = report.get("model")
        if job is None or job.ended != "done" or not isinstance(model, str) or "/" in model:
            raise RequestError(409, "there is no taught model to accept")
        source, target = self._folder / model, self._plant.station.models_dir / model
        if target.exists():
            raise RequestError(409, f"{target} exists already")
        await written(self._plant, lambda _: _copy(source, target))
        changed(self._plant, user_of(self._access, request), "accept_model", subject=model)
        return JSONResponse({"model": model, "folder": str(target)})

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None


_INSTALL: Final = "Type: pip install 'edge-inspector[training,cpu]'"


def busy(verdicts: Sequence[Verdict]) -> str:
    """Why the line needs the cores now. "" if it does not."""
    if any(verdict.reason is Reason.LATE for verdict in verdicts):
        return "a part was late"
    shares = [
        (verdict.due_ns - verdict.decided_ns) / max(1, verdict.due_ns - verdict.part.announced_ns)
        for verdict in verdicts
        if verdict.decision is not Decision.NOT_INSPECTED
    ]
    least = min(shares, default=1.0)
    return f"only {100 * max(0.0, least):.0f} % of a part's time was left" if least < _RESERVE else ""


def _missing(method: str) -> list[str]:
    """The packages that are not installed. They are looked for, and never loaded here."""
    return [package for package in _NEEDS[method] if find_spec(package) is None]


def _copy(source: Path, target: Path) -> None:
    """The whole folder, or none. Raises DeviceError."""
    draft = target.with_name(f".{target.name}.new")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a copy that a power cut ended
        draft.mkdir()
        for file in sorted(source.iterdir()):
            shutil.copyfile(file, draft / file.name)
        draft.rename(target)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        hint = f"Type as root: cp -r {source} {target.parent}"
        raise DeviceError(f"{target} cannot be written: {error.strerror or error}. {hint}") from error
