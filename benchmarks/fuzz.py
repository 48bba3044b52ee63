"""Sends hostile bytes to everything that reads bytes from outside: `make fuzz`.

With atheris (pip install atheris: Linux on x86-64) the search follows the code's branches. Without it the bytes are
mutations of good examples. There is one process per target. It ends on a crash, a hang or an unexpected error, and
prints the bytes that caused it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

_LONGEST = 4096
_HANG_S = 10
# Fast targets get more: one execution of the manifest's takes as long as twenty commands.
_SHARES = {"gvcp_packet": 4.0, "mqtt_command": 4.0, "verdict_ring": 2.0, "station_file": 0.5, "manifest_file": 0.5}


def main() -> int:
    """Run all targets. 0 if none failed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000, help="of all targets together (default: 1000000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the counts as JSON")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        _run_target(given.target, given.inside, given.seed)
        return 0
    from support.fuzz_targets import TARGETS, close  # noqa: PLC0415 -- instrumented in the other processes

    names = [given.target] if given.target else list(TARGETS)
    close()
    engine = "atheris" if find_spec("atheris") else "mutations without guidance"
    shares = {name: _SHARES.get(name, 1.0) for name in names}
    each = given.executions / sum(shares.values())
    rows = [_start(name, math.ceil(each * share), given.seed) for name, share in shares.items()]
    print(f"\n{engine}; {sum(row['executions'] for row in rows)} executions")
    for row in rows:
        print(f"{row['target']:16} {row['executions']:9} executions {row['seconds']:7.1f} s  {row['outcome']}")
    if given.report:
        given.report.write_text(json.dumps({"engine": engine, "targets": rows}, indent=1) + "\n")
    return 1 if any(row["outcome"] != "ok" for row in rows) else 0


def _start(name: str, executions: int, seed: int) -> dict[str, Any]:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--target", name, "--inside", str(executions), "--seed", str(seed)],
            capture_output=True, text=True, check=False, errors="replace", cwd=folder,
        )  # fmt: skip
    told = done.stdout + done.stderr
    counts = [int(found) for found in re.findall(r"^Done (\d+)", told, re.MULTILINE)]
    if done.returncode:
        print(told[-4000:])
    outcome = "ok" if done.returncode == 0 else f"failed, exit code {done.returncode}"
    seconds = round(time.monotonic() - begun, 1)
    return {"target": name, "executions": max(counts, default=0), "seconds": seconds, "outcome": outcome}


def _run_target(name: str, executions: int, seed: int) -> None:
    if find_spec("atheris") is None:
        from support.fuzz_targets import TARGETS, close  # noqa: PLC0415

        target, seeds = TARGETS[name]
        _mutate(target, seeds, executions, seed)
        close()
        return
    import atheris  # noqa: PLC0415 -- optional

    with atheris.instrument_imports(include=["edge_inspector", "tomllib"]):
        from support.fuzz_targets import TARGETS  # noqa: PLC0415
    target, seeds = TARGETS[name]
    corpus = Path("corpus")
    corpus.mkdir()
    for number, content in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(content)
    options = [f"-runs={executions}", f"-seed={seed}", f"-max_len={_LONGEST}", f"-timeout={_HANG_S}", "-rss_limit_mb=0"]
    atheris.Setup(["fuzz", *options, str(corpus)], target)
    atheris.Fuzz()


def _mutate(target: Callable[[bytes], None], seeds: list[bytes], executions: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(executions):
        data = mutated(chance.choice(seeds), chance)
        try:
            target(data)
        except Exception:
            print(f"after {number} with {data!r}", flush=True)
            raise
    print(f"Done {executions} runs")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with a few bytes changed, removed, repeated or inserted."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(found))
        kind = chance.randrange(4)
        if kind == 0 and at < len(found):
            found[at] = chance.randrange(256)
        elif kind == 1:
            del found[at : at + chance.randint(1, 16)]
        elif kind == 2:
            found[at:at] = found[at : at + chance.randint(1, 32)]
        else:
            found[at:at] = chance.choice(
                (b"\0", b"\xff\xff", b'"', b"\\u0000", b"1e999", b"-1", b"[[", b"\xed\xa0\x80")
            )
    return bytes(found[:_LONGEST])


if __name__ == "__main__":
    sys.exit(main())
