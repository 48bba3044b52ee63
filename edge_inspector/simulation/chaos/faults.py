"""The faults around a station, each with random strength and length."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from edge_inspector.simulation.chaos.line import ChaosLine
from edge_inspector.simulation.chaos.proxy import Weather


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, ready to happen. `silences`: nothing reaches the PLC during the fault, and it must notice."""

    name: str
    begin: Callable[[ChaosLine], None]
    end: Callable[[ChaosLine], None]
    _: KW_ONLY
    lasts_s: float
    silences: bool = False
    told: str = ""


Draw = Callable[[random.Random], Fault]


def _killed(what: str) -> Draw:
    def draw(chance: random.Random) -> Fault:
        lasts_s = chance.uniform(0.1, 2.0)
        return Fault(
            f"{what} killed",
            lambda line: line.kill(what),
            lambda line: line.revive(what),
            lasts_s=lasts_s,
            silences=what == "daemon",
        )

    return draw


def _stopped(what: str) -> Draw:
    def send(number: int) -> Callable[[ChaosLine], None]:
        return lambda line: os.kill(getattr(line, what).pid, number)

    def draw(chance: random.Random) -> Fault:
        lasts_s = chance.uniform(0.05, 3.0)
        return Fault(
            f"{what} SIGSTOP", send(signal.SIGSTOP), send(signal.SIGCONT), lasts_s=lasts_s, silences=what == "daemon"
        )

    return draw


def _restarted(chance: random.Random) -> Fault:
    def end_it(line: ChaosLine) -> None:
        line.daemon.terminate()
        line.daemon.wait(10)

    return Fault(
        "daemon restarted", end_it, lambda line: line.revive("daemon"), lasts_s=chance.uniform(0.0, 1.0), silences=True
    )


def _weather(where: str, kind: str, label: str) -> Draw:
    def draw(chance: random.Random) -> Fault:
        share = chance.choice((0.02, 0.1, 0.5))
        weather = {
            "delay": Weather("delay", 1.0, chance.choice((0.01, 0.05, 0.2, 0.6))),
            "drop": Weather("drop", share),
            "duplicate": Weather("duplicate", share),
            "truncate": Weather("truncate", share),
            "stall": Weather("stall"),
            "swallow": Weather("swallow"),
            "cut": Weather("cut"),
        }[kind]
        return Fault(
            f"{where} {label}",
            lambda line: line.proxies[where].set(weather),
            lambda line: line.proxies[where].set(Weather()),
            lasts_s=chance.uniform(0.2, 3.0),
            silences=where == "plc" and kind in ("stall", "swallow", "cut"),
            told=f"{weather.share:g} of the chunks, {weather.delay_s:g} s",
        )

    return draw


def _both_cut(chance: random.Random) -> Fault:
    def both(line: ChaosLine, weather: Weather) -> None:
        for proxy in line.proxies.values():
            proxy.set(weather)

    return Fault(
        "both cut",
        lambda line: both(line, Weather("cut")),
        lambda line: both(line, Weather()),
        lasts_s=chance.uniform(0.2, 3.0),
        silences=True,
    )


def _disk_full(chance: random.Random) -> Fault:
    return Fault("disk full", ChaosLine.fill_disk, ChaosLine.free_disk, lasts_s=chance.uniform(0.5, 3.0))


def _clock_stepped(chance: random.Random) -> Fault:
    step_s = chance.choice((-1_000_000, -3600, -2, 2, 3600, 30_000_000))

    return Fault(
        "clock stepped",
        lambda line: line.step_clock(step_s),
        lambda line: line.step_clock(0),
        lasts_s=chance.uniform(0.5, 2.0),
        told=f"{step_s} s",
    )


def _clock_a_year_ahead(chance: random.Random) -> Fault:
    """A clock beyond `keep_days`: by this date all that is stored is too old."""
    step_s = 86_400 * chance.choice((366, 3650))
    return Fault(
        "clock a year ahead",
        lambda line: line.step_clock(step_s),
        lambda line: line.step_clock(0),
        lasts_s=4.0,
        told=f"{step_s} s",
    )


_LABELS = {
    "delay": "delayed",
    "drop": "bytes dropped",
    "duplicate": "bytes doubled",
    "truncate": "truncated, reset",
    "stall": "black hole, then late",
    "swallow": "black hole, half open",
    "cut": "cut",
}

DRAWS: tuple[Draw, ...] = (
    *(_killed(what) for what in ("plc", "broker", "daemon")),
    *(_stopped(what) for what in ("plc", "broker", "daemon")),
    _restarted,
    *(_weather(where, kind, label) for where in ("plc", "broker") for kind, label in _LABELS.items()),
    _both_cut,
    _disk_full,
    _clock_stepped,
    _clock_a_year_ahead,
)


def draw_fault(seed: int, run: int) -> Fault:
    """The fault of a run. Each round has every kind once, in a random order."""
    order = list(DRAWS)
    random.Random(f"{seed}/round/{run // len(DRAWS)}").shuffle(order)
    return order[run % len(DRAWS)](random.Random(f"{seed}/run/{run}"))
