"""Goes from station to station until a roll-out has ended: ask all, decide, order. The state is saved in between."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from edge_inspector.rollout.ask import AskError, RefusalError, StationPage, ToldStatus, ToldTrial, UntrustedError
from edge_inspector.rollout.state import State, StationSeen, save
from edge_inspector.rollout.steps import What, advanced, ended, orders
from edge_inspector.rollout.tables import PlanFile, password_of


class Drive:
    """One run of the command. `tell` gets a line whenever something has changed."""

    def __init__(
        self, plan: PlanFile, package: bytes, state: State, *, path: Path, tell: Callable[[str], None] = print
    ) -> None:
        self.state = state
        self._plan = plan
        self._package = package
        self._path = path
        self._tell = tell
        self._namesakes: set[str] = set()
        tls = ssl.create_default_context(cafile=None if plan.ask.tls_ca_file is None else str(plan.ask.tls_ca_file))
        self._names = {each.address: each.name or each.address for each in plan.stations}
        self._pages = {
            each.address: StationPage(
                each.address, plan.login.user, password_of(plan, each), timeout_s=plan.ask.timeout_s, tls=tls
            )
            for each in plan.stations
        }

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Until it has ended, or `stop` is set. Raises DeviceError if the state cannot be saved."""
        save(self._path, self.state)
        while True:
            self.round()
            if ended(self.state) or once or stop.wait(self._plan.ask.every_s):
                return

    def round(self) -> None:
        """Ask every station, and give the orders that follow."""
        with ThreadPoolExecutor(self._plan.ask.at_once) as pool:
            self._hear(dict(zip(self._pages, pool.map(self._ask, self._pages), strict=True)))
            self._settle()
            given = list(orders(self.state, first=self._plan.first, shadow=self._plan.watch.pictures > 0))
            given = [each for each in given if each[0] in self._pages]
            self._note_orders([at for at, what in given if what != "package"])
            self._hear({at: seen for (at, _), seen in zip(given, pool.map(self._do, given), strict=True)})
            self._settle()

    def _note_orders(self, addresses: list[str]) -> None:
        """Before they are sent: an answer may be lost, or this command be killed."""
        ordered = {at: self.state.stations[at].model_copy(update={"ordered": True}) for at in addresses}
        self.state = self.state.model_copy(update={"stations": {**self.state.stations, **ordered}})
        save(self._path, self.state)

    def _settle(self) -> None:
        before, self.state = self.state, advanced(self.state, first=self._plan.first)
        if self.state.phase != before.phase:
            self._tell(f"goes back everywhere: {self.state.why_back}")
        if self.state.kept and not before.kept:
            self._tell("every station that answers has passed: it is kept")
        save(self._path, self.state)

    def _hear(self, heard: Mapping[str, StationSeen]) -> None:
        for address, seen in heard.items():
            before = self.state.stations[address]
            if _line(seen) != _line(before):
                self._tell(f"{self._names.get(address, address)}: {_line(seen)}")
        self.state = self.state.model_copy(update={"stations": {**self.state.stations, **heard}})
        self._tell_of_namesakes()

    def _tell_of_namesakes(self) -> None:
        """The roll-out goes by addresses. But two stations with one name mix their messages and results."""
        by_name: dict[str, list[str]] = {}
        for address, seen in self.state.stations.items():
            by_name.setdefault(seen.own, []).append(address)
        for own, addresses in by_name.items():
            if own and len(addresses) > 1 and own not in self._namesakes:
                self._namesakes.add(own)
                self._tell(
                    f"{' and '.join(addresses)} call themselves {own}: give each station a station.name of its own, "
                    "or remove all but one if it is one station"
                )

    def _ask(self, address: str) -> StationSeen:
        return self._answered(address, self._pages[address].status)

    def _do(self, given: tuple[str, What]) -> StationSeen:
        address, what = given
        page = self._pages[address]
        if what == "package":
            return self._answered(address, partial(self._send, page))
        why = self.state.why_back if what == "back" else self._plan.why
        order = {
            "id": self.state.stations[address].id or self.state.id,
            "order": what,
            "digest": self.state.digest,
            "bounds": self._plan.watch.model_dump(),
            "why": why[:300],
        }
        return self._answered(address, partial(page.order, order))

    def _send(self, page: StationPage) -> ToldStatus:
        told = page.status()
        if not told.accepts:
            raise RefusalError(
                f"{page.address}: takes nothing over the network. Set rollout.accept and trust.keys there"
            )
        if len(self._package) > told.most:
            what = f"takes {told.most >> 20} MB, and this package has {len(self._package) / 2**20:.1f} MB"
            raise RefusalError(f"{page.address}: {what}: raise rollout.package_mb there")
        page.send(self._package)
        return page.status()

    def _answered(self, address: str, ask: Callable[[], ToldStatus]) -> StationSeen:
        before = self.state.stations[address]
        try:
            return self._seen(before, ask())
        except AskError as error:
            # One lost answer does not make a station lost. Two do.
            off, untrusted = before.off or bool(before.trouble), isinstance(error, UntrustedError)
            return before.model_copy(update={"off": off, "trouble": str(error), "untrusted": untrusted})
        except RefusalError as error:
            heard = {"off": False, "untrusted": False, "trouble": str(error)}
            if before.step is not None:  # what is under way there still is
                return before.model_copy(update=heard)
            return before.model_copy(update=heard | {"refused": True, "said": str(error)})

    def _seen(self, before: StationSeen, told: ToldStatus) -> StationSeen:
        trial = _of(told, self.state)
        if trial is None:
            arrived = told.arrived == self.state.digest
            # A station that was set up anew has forgotten it, and gets it again.
            return StationSeen(
                off=False,
                arrived=arrived,
                refused=before.refused,
                said=before.said,
                ordered=before.ordered,
                own=told.station,
            )
        return StationSeen(
            id=trial.id,
            step=trial.step,
            wanted=trial.wanted,
            passed=trial.passed,
            counts=trial.counts,
            said=trial.said,
            arrived=True,
            off=False,
            ordered=before.ordered,
            own=told.station,
        )


def _of(told: ToldStatus, state: State) -> ToldTrial | None:
    """What the station says of this roll-out. To call it back, that of the same package under another number, too."""
    found = next((each for each in (told.trial, told.last) if each is not None and each.id == state.id), None)
    if found is None and state.phase == "back" and told.trial is not None and told.trial.digest == state.digest:
        return told.trial
    return found


def _line(seen: StationSeen) -> str:
    """What is shown of a station. TrialCounts are left out, since they change all the time."""
    if seen.refused:
        return f"refuses: {seen.said}"
    if seen.removed:
        return f"{seen.step}, and not in the plan any more: put it back to call it back"
    if seen.off:
        why = f": {seen.trouble}" if seen.untrusted else ""
        return f"does not answer{f' ({seen.step})' if seen.step else ''}{why}"
    words = [str(seen.step) if seen.step else ("ready" if seen.arrived else "has nothing yet")]
    if seen.passed:
        words.append("passed")
    if seen.wanted is not None:
        words.append(f"waits for a stop to become {seen.wanted}")
    return ", ".join(words) + (f": {seen.said}" if seen.said else "")


def lines(state: State, names: Mapping[str, str]) -> list[str]:
    """The roll-out for people: a line for each station."""
    told = [f"roll-out {state.id} of {state.name}: {state.phase}{', kept' if state.kept else ''}"]
    for address, seen in state.stations.items():
        counts = seen.counts
        pictures = counts.accepted + counts.rejected + counts.missed + counts.more
        figures = f" ({pictures} pictures, {counts.parts} parts)" if seen.step is not None else ""
        told.append(f"  {names.get(address, address)}: {_line(seen)}{figures}")
    return told
