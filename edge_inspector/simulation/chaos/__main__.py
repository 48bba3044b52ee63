"""The campaign: a running line with one fault after another, and a table with the fate of every part."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_inspector.simulation.chaos.account import Account, account_for, known_ms
from edge_inspector.simulation.chaos.faults import Fault, draw_fault
from edge_inspector.simulation.chaos.line import ChaosLine

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
}
_RECOVERY_S = 20.0
_DELIVERY_S = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign. 1 if a promise was broken in any run."""
    given = _parser().parse_args(arguments)
    numbers = [given.only] if given.only is not None else range(given.first, given.first + given.runs)
    until = time.monotonic() + given.minutes * 60
    results: list[dict[str, Any]] = []
    pending = list(numbers)
    facts: dict[str, Any] = {}
    while pending and time.monotonic() < until:
        with tempfile.TemporaryDirectory(prefix="edge-inspector-chaos-") as folder:
            done, facts = _on_one_line(Path(folder), seed=given.seed, pending=pending, until=until, keep=given.keep)
        results += done
        pending = pending[len(done) :]
    _print_table(results)
    broken = [result for result in results if result["violated"]]
    for result in broken:
        print(
            f"run {result['run']} ({result['fault']}) broke a promise; again with:"
            f" --seed {given.seed} --only {result['run']}"
        )
    if pending:
        print(f"out of time: {len(pending)} runs were not made")
    if given.report:
        given.report.write_text(json.dumps({"seed": given.seed, **facts, "runs": results}, indent=1) + "\n")
    return 1 if broken or not results else 0


def _on_one_line(
    folder: Path, *, seed: int, pending: Sequence[int], until: float, keep: Path | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs on one line until one breaks a promise or all are done. The next runs then get a new line."""
    line = ChaosLine(folder.resolve(), seed)
    results: list[dict[str, Any]] = []
    facts: dict[str, Any] = {"disk": line.disk}
    with line.running():
        facts = {"disk": line.disk, "clock": line.clock, "tls": line.tls, "broker": line.broker.kind}
        if not line.wait_until(lambda: line.is_well() and line.has_parts(), _RECOVERY_S):
            raise SystemExit((folder / "daemon.log").read_text()[-2000:])
        line.wait_until(line.has_history, _RECOVERY_S)
        begun_ns = time.monotonic_ns()
        for run in pending:
            fault = draw_fault(seed, run)
            account, begun_ns = _run(line, fault, begun_ns)
            results.append({"run": run, "fault": fault.name, "lasts_s": round(fault.lasts_s, 3), "told": fault.told})
            results[-1] |= {**asdict(account), "violated": account.violated}
            _print_run(results[-1])
            if account.violated and keep is not None:
                _keep(line, keep / f"run-{run}")
            facts["store"] = "not there" if line.stored_parts() is None else "results.sqlite compared"
            if account.violated or time.monotonic() > until:
                break
    return results, facts


def _run(line: ChaosLine, fault: Fault, begun_ns: int) -> tuple[Account, int]:
    """One fault, from calm to calm. The account of the parts since `begun_ns`, and the beginning of the next run."""
    time.sleep(0.3)
    held = line.stored_parts() or set()
    hurt_ns = time.monotonic_ns()
    fault.begin(line)
    time.sleep(fault.lasts_s)
    fault.end(line)
    faults = []
    if not line.wait_until(line.is_well, _RECOVERY_S):
        faults.append(f"not well {_RECOVERY_S:g} s after it was over")
    if line.daemon.poll() is not None:
        faults.append(f"the daemon ended with code {line.daemon.returncode}")
    ended_ns = time.monotonic_ns()

    def account() -> Account:
        stored = line.stored_parts()
        found = account_for(line.read_events(), line.recorder.verdicts(), stored, (begun_ns, ended_ns))
        found.erased = len(held - (stored or set()))
        return found

    time.sleep(line.line.gate_mm / line.line.speed_mm_s + 0.3)
    line.wait_until(lambda: not account().violated, _DELIVERY_S if not faults else 0.0)
    found = account()
    found.faults = faults
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
        f"{result['run']:4} {result['fault']:28} {result['lasts_s']:5.2f} s {result['parts']:3} parts {text}"
        f" {counts}{known} {'; '.join(result['faults'])}",
        flush=True,
    )


def _print_table(results: Sequence[dict[str, Any]]) -> None:
    by_fault = defaultdict(list)
    for result in results:
        by_fault[result["fault"]].append(result)
    print(f"\n| fault | runs | {' | '.join(_COLUMNS.values())} | PLC knew after, p50 / p99 / max ms |")
    print("|---" * (len(_COLUMNS) + 3) + "|")
    for name, runs in [*sorted(by_fault.items()), ("all", list(results))]:
        known = sorted(run["known_ms"] for run in runs if run["known_ms"] is not None)
        at = [known[min(len(known) - 1, int(len(known) * share))] for share in (0.5, 0.99, 1.0)] if known else []
        cells = [name, len(runs), *(sum(run[column] for run in runs) for column in _COLUMNS)]
        print(f"| {' | '.join(map(str, cells))} | {' / '.join(f'{ms:.0f}' for ms in at)} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_inspector.simulation.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=210, help="how many faults (default: 210)")
    parser.add_argument("--seed", type=int, default=1, help="of everything drawn (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first run (default: 0)")
    parser.add_argument("--only", type=int, metavar="RUN", help="make this run alone, on a fresh line")
    parser.add_argument("--minutes", type=float, default=40.0, help="end after so long (default: 40)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every run as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and ledger of broken runs here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
