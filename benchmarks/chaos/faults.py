"""The faults around a station, each with random strength and length."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from benchmarks.chaos.line import ChaosLine
from benchmarks.chaos.proxy import Weather


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault, ready to happen. `silences`: nothing reaches the PLC during the fault, and it must notice."""

    name: str
    begin: Callable[[ChaosLine], None]
    end: Callable[[ChaosLine], None]
    _: KW_ONLY
    lasts_s: float
    silences: bool = False
    told: str = ""


Draw = Callable[[random.Random], Injection]
_STOP_S, _GO_S = 0.12, 0.03


def killed(what: str) -> Draw:
    """A process without power, for a while."""

    def draw(chance: random.Random) -> Injection:
        lasts_s = chance.uniform(0.1, 2.0)
        return Injection(
            f"{what} killed",
            lambda line: line.kill(what),
            lambda line: line.revive(what),
            lasts_s=lasts_s,
            silences=what == "daemon",
        )

    return draw


def stopped(what: str) -> Draw:
    """A process that hangs, for a while."""

    def send(number: int) -> Callable[[ChaosLine], None]:
        return lambda line: os.kill(getattr(line, what).pid, number)

    def draw(chance: random.Random) -> Injection:
        lasts_s = chance.uniform(0.05, 3.0)
        return Injection(
            f"{what} SIGSTOP", send(signal.SIGSTOP), send(signal.SIGCONT), lasts_s=lasts_s, silences=what == "daemon"
        )

    return draw


def restarted(chance: random.Random) -> Injection:
    """The daemon is stopped in order, and started again."""

    def end_it(line: ChaosLine) -> None:
        line.daemon.terminate()
        line.daemon.wait(10)

    return Injection(
        "daemon restarted", end_it, lambda line: line.revive("daemon"), lasts_s=chance.uniform(0.0, 1.0), silences=True
    )


def weather(where: str, kind: str) -> Draw:
    """What happens to the bytes on the way to PLC or broker."""

    def draw(chance: random.Random) -> Injection:
        share = chance.choice((0.02, 0.1, 0.5))
        disturbed = {
            "delay": Weather("delay", 1.0, chance.choice((0.01, 0.05, 0.2, 0.6))),
            "drop": Weather("drop", share),
            "duplicate": Weather("duplicate", share),
            "truncate": Weather("truncate", share),
            "stall": Weather("stall"),
            "swallow": Weather("swallow"),
            "cut": Weather("cut"),
        }[kind]
        return Injection(
            f"{where} {_LABELS[kind]}",
            lambda line: line.proxies[where].set(disturbed),
            lambda line: line.proxies[where].set(Weather()),
            lasts_s=chance.uniform(0.2, 3.0),
            silences=where == "plc" and kind in ("stall", "swallow", "cut"),
            told=f"{disturbed.share:g} of the chunks, {disturbed.delay_s:g} s",
        )

    return draw


def pulsed(chance: random.Random) -> Injection:
    """The daemon gets a fifth of the time that it needs: everything is slow, the model most of all."""
    over, lasts_s = threading.Event(), chance.uniform(1.0, 3.0)
    threads: list[threading.Thread] = []

    def pulse(pid: int) -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(_STOP_S)
            os.kill(pid, signal.SIGCONT)
            over.wait(_GO_S)

    def begin(line: ChaosLine) -> None:
        threads.append(threading.Thread(target=pulse, args=(line.daemon.pid,)))
        threads[0].start()

    def end(_line: ChaosLine) -> None:
        over.set()
        threads[0].join()

    return Injection("daemon slow", begin, end, lasts_s=lasts_s)


def _both_cut(chance: random.Random) -> Injection:
    def both(line: ChaosLine, weather: Weather) -> None:
        for proxy in line.proxies.values():
            proxy.set(weather)

    return Injection(
        "both cut",
        lambda line: both(line, Weather("cut")),
        lambda line: both(line, Weather()),
        lasts_s=chance.uniform(0.2, 3.0),
        silences=True,
    )


def _disk_full(chance: random.Random) -> Injection:
    return Injection("disk full", ChaosLine.fill_disk, ChaosLine.free_disk, lasts_s=chance.uniform(0.5, 3.0))


def _clock_stepped(chance: random.Random) -> Injection:
    step_s = chance.choice((-1_000_000, -3600, -2, 2, 3600, 30_000_000))

    return Injection(
        "clock stepped",
        lambda line: line.step_clock(step_s),
        lambda line: line.step_clock(0),
        lasts_s=chance.uniform(0.5, 2.0),
        told=f"{step_s} s",
    )


def _clock_a_year_ahead(chance: random.Random) -> Injection:
    """A clock beyond `keep_days`: by this date all that is stored is too old."""
    step_s = 86_400 * chance.choice((366, 3650))
    return Injection(
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
    *(killed(what) for what in ("plc", "broker", "daemon")),
    *(stopped(what) for what in ("plc", "broker", "daemon")),
    restarted,
    *(weather(where, kind) for where in ("plc", "broker") for kind in _LABELS),
    _both_cut,
    _disk_full,
    _clock_stepped,
    _clock_a_year_ahead,
)


def draw_fault(seed: int, run: int, draws: Sequence[Draw] = DRAWS) -> Injection:
    """The fault of a run. Each round has every kind once, in a random order."""
    order = list(draws)
    random.Random(f"{seed}/round/{run // len(draws)}").shuffle(order)
    return order[run % len(draws)](random.Random(f"{seed}/run/{run}"))
