"""The campaign: a running line with one fault after another, and a table with the fate of every part."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.account import Account, known_ms
from benchmarks.chaos.faults import DRAWS, Draw, Injection, draw_fault
from benchmarks.chaos.kinds import KindLine, draws_of
from benchmarks.chaos.lanes import LanesLine
from benchmarks.chaos.line import ChaosLine
from edge_inspector.simulation.lines.kinds import KINDS, LANES

_COLUMNS = {
    "parts": "parts",
    "lost": "lost",
    "lost_mqtt": "lost on MQTT",
    "lost_store": "lost in the store",
    "second": "second verdict",
    "wrong_part": "wrong part",
    "missed": "missed",
    "unwarned": "unwarned",
    "erased": "erased from the store",
    "repeats": "repeats",
    "rejected_by_plc": "rejected by the PLC itself",
    "forgotten": "never read",
    "excused": "wrong, and told",
    "resets": "RESET",
}
_RUNS = 210
_RECOVERY_S = 20.0
_DELIVERY_S = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign. 1 if a promise was broken in any run."""
    given = _parser().parse_args(arguments)
    until = time.monotonic() + given.minutes * 60
    results: list[dict[str, Any]] = []
    left = 0
    facts: dict[str, Any] = {}
    for campaign in _campaigns(given):
        pending = list(campaign.runs)
        while pending and time.monotonic() < until:
            with tempfile.TemporaryDirectory(prefix="edge-inspector-chaos-") as folder:
                done, facts = campaign.on_one_line(Path(folder), pending, until)
            results += done
            pending = pending[len(done) :]
        left += len(pending)
    _print_table(results)
    broken = [result for result in results if result["violated"]]
    for result in broken:
        kind = f" --line {result['line']}" if result["line"] else ""
        print(
            f"run {result['run']} ({result['fault']}) broke a promise; again with:"
            f"{kind} --seed {given.seed} --only {result['run']}"
        )
    if left:
        print(f"out of time: {left} runs were not made")
    if given.report:
        given.report.write_text(json.dumps({"seed": given.seed, **facts, "runs": results}, indent=1) + "\n")
    return 1 if broken or not results else 0


def _campaigns(given: argparse.Namespace) -> list[_Campaign]:
    """The line with our blocks, or one line after the other of other kinds."""
    kinds = [given.line] if given.line else [*KINDS, LANES] if given.kinds else [""]
    found = []
    for kind in kinds:
        draws = draws_of(kind) if kind else DRAWS
        first, last = given.first, given.first + (given.runs or (len(draws) if kind else _RUNS))
        runs = range(first, last) if given.only is None else [given.only]
        found.append(_Campaign(kind, draws, runs, given.seed, given.keep))
    return found


@dataclass(frozen=True, slots=True)
class _Campaign:
    """Runs on lines of one kind. `kind` is empty for the usual line."""

    kind: str
    draws: Sequence[Draw]
    runs: Sequence[int]
    seed: int
    keep: Path | None

    def on_one_line(
        self, folder: Path, pending: Sequence[int], until: float
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Runs until one breaks a promise or all are done. The next runs then get a new line."""
        place = folder.resolve()
        line = self._line(place)
        results: list[dict[str, Any]] = []
        with line.running():
            facts = {"disk": line.disk, "clock": line.clock, "tls": line.tls, "broker": line.broker.kind}
            if not line.wait_until(lambda: line.is_well() and line.has_parts(), _RECOVERY_S):
                raise SystemExit((folder / "daemon.log").read_text()[-2000:])
            line.wait_until(line.has_history, _RECOVERY_S)
            begun_ns = time.monotonic_ns()
            for run in pending:
                fault = draw_fault(self.seed, run, self.draws)
                account, begun_ns = _run(line, fault, begun_ns)
                told = {"fault": fault.name, "lasts_s": round(fault.lasts_s, 3), "told": fault.told}
                results.append({"line": self.kind, "run": run, **told, **asdict(account), "violated": account.violated})
                _print_run(results[-1])
                if account.violated and self.keep is not None:
                    _keep(line, self.keep / f"{self.kind}-run-{run}".removeprefix("-"))
                facts["store"] = "not there" if line.stored_parts() is None else "results.sqlite compared"
                if account.violated or time.monotonic() > until:
                    break
        return results, facts

    def _line(self, place: Path) -> ChaosLine:
        if self.kind == LANES:
            return LanesLine(place, self.seed)
        return KindLine(place, self.seed, self.kind) if self.kind else ChaosLine(place, self.seed)


def _run(line: ChaosLine, fault: Injection, begun_ns: int) -> tuple[Account, int]:
    """One fault, from calm to calm. The account of the parts since `begun_ns`, and the beginning of the next run."""
    time.sleep(0.3)
    held = line.stored_parts() or set()
    hurt_ns = time.monotonic_ns()
    fault.begin(line)
    time.sleep(fault.lasts_s)
    fault.end(line)
    faults = []
    resets = line.resets
    if not line.recover(_RECOVERY_S):
        faults.append(f"not well {_RECOVERY_S:g} s after it was over")
    if line.daemon.poll() is not None:
        faults.append(f"the daemon ended with code {line.daemon.returncode}")
    ended_ns = time.monotonic_ns()

    def account() -> Account:
        stored = line.stored_parts()
        found = line.account((begun_ns, ended_ns), stored)
        found.erased = len(held - (stored or set()))
        return found

    time.sleep(line.line.gate_mm / line.line.speed_mm_s + 0.3)
    line.wait_until(lambda: not account().violated, _DELIVERY_S if not faults else 0.0)
    found = account()
    found.faults = faults
    found.resets = line.resets - resets
    found.known_ms = known_ms(line.events, hurt_ns, ended_ns) if fault.silences else None
    return found, ended_ns


def _keep(line: ChaosLine, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("daemon.log", "ledger.jsonl", "broker.log", "station.toml"):
        (folder / name).write_bytes((line.folder / name).read_bytes())
    (folder / "messages.json").write_text(json.dumps(line.recorder.verdicts()))


def _print_run(result: dict[str, Any]) -> None:
    text = "BROKEN " if result["violated"] else "ok"
    known = f", PLC knew after {result['known_ms']:.0f} ms" if result["known_ms"] is not None else ""
    counts = ", ".join(f"{name} {result[name]}" for name in ("late", *_COLUMNS) if name != "parts" and result[name])
    print(
        f"{result['run']:4} {result['line']:13} {result['fault']:28} {result['lasts_s']:5.2f} s"
        f" {result['parts']:3} {result['unit']} {text}"
        f" {counts}{known} {'; '.join(result['faults'])}",
        flush=True,
    )


def _print_table(results: Sequence[dict[str, Any]]) -> None:
    by_fault = defaultdict(list)
    for result in results:
        by_fault[_name(result)].append(result)
    in_parts = [result for result in results if result["unit"] == "parts"]
    print(f"\n| fault, or line | runs | {' | '.join(_COLUMNS.values())} | PLC knew after, p50 / p99 / max ms |")
    print("|---" * (len(_COLUMNS) + 3) + "|")
    for name, runs in [*sorted(by_fault.items()), ("all parts", in_parts)]:
        known = sorted(run["known_ms"] for run in runs if run["known_ms"] is not None)
        at = [known[min(len(known) - 1, int(len(known) * share))] for share in (0.5, 0.99, 1.0)] if known else []
        cells = [name, len(runs), *(sum(run[column] for run in runs) for column in _COLUMNS)]
        print(f"| {' | '.join(map(str, cells))} | {' / '.join(f'{ms:.0f}' for ms in at)} |")


def _name(result: dict[str, Any]) -> str:
    """The row of a result. A web has millimetres where the others have parts."""
    name: str = result["line"] or result["fault"]
    return name if result["unit"] == "parts" else f"{name}, in {result['unit']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, help=f"how many faults (default: {_RUNS}; each once on other kinds)")
    parser.add_argument("--kinds", action="store_true", help="lines of all other kinds, one after the other")
    parser.add_argument(
        "--line", default="", choices=[*KINDS, LANES], metavar="KIND", help="only this other kind of line"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything drawn (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first run (default: 0)")
    parser.add_argument("--only", type=int, metavar="RUN", help="make this run alone, on a fresh line")
    parser.add_argument("--minutes", type=float, default=40.0, help="end after so long (default: 40)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every run as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and ledger of broken runs here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
