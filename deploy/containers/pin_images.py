"""Asks the registry which digest each image has now, and writes it into compose.yml and Dockerfile.

`python deploy/containers/pin_images.py` needs Docker with buildx. With `--check` it changes nothing, and exits with 1
if a digest is another one than the registry's.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = ("compose.yml", "Dockerfile")
PINNED = re.compile(
    r"^(?P<before>\s*image: |ARG PYTHON=)(?P<name>[\w./-]*:?v?\d[\w.-]*)(?:@(?P<digest>sha256:[0-9a-f]{64}))?$",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def full_name(match: re.Match[str]) -> str:
    """The image with its version. The Dockerfile names only the version of Python."""
    return f"python:{match['name']}" if match["before"].startswith("ARG") else match["name"]


def digest_now(image: str) -> str:
    """The digest of the image for all processors, by the registry. Raises SystemExit."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"docker cannot be started: {error.strerror}. Install Docker with buildx") from error
    told = done.stdout.strip()
    if done.returncode or not DIGEST.fullmatch(told):
        raise SystemExit(f"{image}: no digest from the registry: {done.stderr.strip() or told or 'no answer'}")
    return told


def main() -> int:
    """Compare, and write unless only asked to check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a digest differs")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the two files are (default: %(default)s)")
    given = parser.parse_args()
    texts = {given.folder / name: (given.folder / name).read_text(encoding="utf-8") for name in FILES}
    images = {full_name(match): match["digest"] for text in texts.values() for match in PINNED.finditer(text)}
    now = {image: digest_now(image) for image in images}  # all of them before anything is written
    for image, before in images.items():
        told = "as before" if now[image] == before else f"and it was {before or 'not pinned'}"
        print(f"{image}: {now[image]}, {told}")
    if given.check:
        return int(now != images)
    for path, text in texts.items():
        path.write_text(PINNED.sub(lambda match: f"{match['before']}{match['name']}@{now[full_name(match)]}", text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
