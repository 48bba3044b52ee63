"""Makes a release in a folder of its own, and signs it: `make release KEY=release.key`.

The folder has the wheel, the source that it was built from, the hashes of all packages that it needs, its bill of
materials, and `provenance.json`: who built it, from which commit and with what (in-toto, SLSA 1.0). The signature
covers every file. `edge-inspector sign --check PUBLIC_KEY FOLDER` compares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from edge_inspector import __version__
from edge_inspector.cli import main as command
from edge_inspector.commands.changes import login
from edge_inspector.runtime.clock import iso, moment

ROOT = Path(__file__).parents[1]
NAME = f"edge-inspector-{__version__}"


def git(*words: str) -> str:
    """What git prints. Raises SystemExit."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def build(folder: Path) -> None:
    """The wheel, and the source of it. Both are the same to the byte whenever they are built from the same commit."""
    wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(wheel, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the wheel cannot be built: {done.stderr.strip()}")
    git("archive", "--format=tar.gz", f"--prefix={NAME}/", "-o", str(folder / f"{NAME}.tar.gz"), "HEAD")


def provenance(folder: Path, commit: str, builder: str) -> dict[str, Any]:
    """Who built the files in the folder, from what, with what, when."""
    files = sorted(each for each in folder.iterdir() if each.is_file())
    subject = [
        {"name": each.name, "digest": {"sha256": hashlib.sha256(each.read_bytes()).hexdigest()}} for each in files
    ]
    tools = {"python": sys.version.split()[0], "hatchling": version_of("hatchling")}
    source = {"name": "edge-inspector", "digest": {"gitCommit": commit}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:edge-inspector:release:1",
                "externalParameters": {"version": __version__},
                "resolvedDependencies": [source],
            },
            "runDetails": {
                "builder": {"id": f"urn:edge-inspector:builder:{builder}", "version": tools},
                "metadata": {"finishedOn": iso(moment().utc, "seconds")},
            },
        },
    }


def main() -> int:
    """Build, describe, sign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", type=Path, required=True, help="the private key of `edge-inspector sign --new`")
    parser.add_argument("--sbom", type=Path, default=ROOT / "dist" / "sbom.json", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="where the folder is made (default: %(default)s)"
    )
    parser.add_argument("--builder", default=f"{login()}@{socket.gethostname()}", help="default: %(default)s")
    given = parser.parse_args()
    folder = given.out / NAME
    if git("status", "--porcelain"):
        raise SystemExit("there are changes that no commit has. Commit them first: a release is what a commit is")
    for path in (given.key, given.sbom):
        if not path.is_file():
            raise SystemExit(f"{path} is missing: {'make sbom' if path == given.sbom else 'edge-inspector sign --new'}")
    if folder.exists():
        raise SystemExit(f"{folder} is there already. A release is made once")
    folder.mkdir(parents=True)
    build(folder)
    shutil.copy(given.sbom, folder / "sbom.json")
    shutil.copy(ROOT / "deploy" / "locks" / "cpu.txt", folder / "requirements.txt")
    told = provenance(folder, git("rev-parse", "HEAD"), given.builder)
    (folder / "provenance.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return command(["sign", "--key", str(given.key), str(folder)])


if __name__ == "__main__":
    sys.exit(main())
