"""The operator page's application: every URL in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.routing import Router
from starlette.types import ASGIApp

from edge_inspector.station.table_faults import read_token
from edge_inspector.store.users import UsersFile
from edge_inspector.web.access import Access, Endpoint, Shell
from edge_inspector.web.audit import AuditPages
from edge_inspector.web.challenge import ChallengePages
from edge_inspector.web.challenge_settings import ChallengeSettings
from edge_inspector.web.commands import Commands
from edge_inspector.web.events import Events
from edge_inspector.web.labels import LabelPages
from edge_inspector.web.live import Live
from edge_inspector.web.login import Login
from edge_inspector.web.optics import Optics
from edge_inspector.web.page_files import OWN_FILES, served_files
from edge_inspector.web.parts import PartPages
from edge_inspector.web.passing import Passing
from edge_inspector.web.plant import Plant
from edge_inspector.web.proposal import ProposalPages
from edge_inspector.web.recipes import RecipePages
from edge_inspector.web.record import RecordPages
from edge_inspector.web.rollout import RolloutPages
from edge_inspector.web.rolls import RollPages
from edge_inspector.web.sessions import Sessions
from edge_inspector.web.shift_pdf import ShiftReport
from edge_inspector.web.station import StationApi
from edge_inspector.web.streams import Broadcast
from edge_inspector.web.teach import Teach
from edge_inspector.web.texts import Languages
from edge_inspector.web.trends import TrendPages
from edge_inspector.web.uploads import UploadPages
from edge_inspector.web.watch import Watch

# The page is one document. It shows what its address names.
_PAGES = (
    "/",
    "/parts",
    "/parts/{part:part}",
    "/parts/{part:part}/draw",
    "/review",
    "/events",
    "/trends",
    "/recipes",
    "/cameras",
    "/teach",
    "/uploads",
    "/uploads/{upload:part}/draw",
    "/health",
    "/checks",
)
_LOOK_S = 2.0  # for one query of the results. It is also the longest wait of /metrics for them


def make_app(plant: Plant) -> ASGIApp:
    """The application with everything that is served."""
    settings = plant.station.file.web
    plant = replace(plant, results=plant.results.within(_LOOK_S), trends=plant.trends.within(_LOOK_S))
    users = UsersFile(settings.users)
    sessions = Sessions(users, settings.session_hours * 3600, settings.idle_minutes * 60)
    token = read_token(settings.machines_token_file) if settings.machines_token_file is not None else ""
    access = Access(sessions, read_requires_login=settings.read_requires_login, token=token)
    routes = access.routes(endpoints(plant, users, sessions, access))
    return Shell(Router(routes, redirect_slashes=False), settings)


def endpoints(plant: Plant, users: UsersFile, sessions: Sessions, access: Access) -> Sequence[Endpoint]:
    """Every URL and the role that may use it."""
    settings = plant.station.file.web
    live = Live(plant)
    stream = Broadcast(live.news, live.all, access.may_read, settings.max_watchers)
    login = Login(
        users,
        sessions,
        access,
        secure=settings.certificate is not None,
        path=settings.path,
        proxies=settings.proxies,
    )
    return [
        *served_files(OWN_FILES, _PAGES),
        *Languages(settings.languages).endpoints(),
        *StationApi(plant, access).endpoints(),
        *Watch(plant, access).endpoints(),
        *login.endpoints(),
        Endpoint("GET", "/api/live", stream.answer),
        *PartPages(plant, access).endpoints(),
        *LabelPages(plant, access).endpoints(),
        *Passing(plant, access).endpoints(),
        *Commands(plant, access).endpoints(),
        *Events(plant, access).endpoints(),
        *Teach(plant, access).endpoints(),
        *UploadPages(plant, access).endpoints(),
        *TrendPages(plant).endpoints(),
        *RecipePages(plant, access).endpoints(),
        *ProposalPages(plant, access).endpoints(),
        *Optics(plant, access).endpoints(),
        *ChallengePages(plant, access).endpoints(),
        *ChallengeSettings(plant, access).endpoints(),
        *ShiftReport(plant).endpoints(),
        *RecordPages(plant, access).endpoints(),
        *AuditPages(plant, access).endpoints(),
        *RollPages(plant).endpoints(),
        *RolloutPages(plant, access).endpoints(),
    ]
