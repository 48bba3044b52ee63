"""Installs each peer into its own environment: `python benchmarks/peers/install.py [NAME ...]`.

Together they bring several gigabytes of files. Torch is installed separately: with a folder or an index with a CPU
wheel (`--find-links`, or PIP_FIND_LINKS), CUDA is not installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

# The tested versions. Newer ones may have another API.
_REPORTING = ("python-snap7==3.3.0", "paho-mqtt==2.2.0")
PACKAGES = {
    "plain": (*_REPORTING, "numpy==2.4.6", "opencv-python-headless==5.0.0.93", "onnxruntime==1.31.1"),
    "roboflow": (*_REPORTING, "torch==2.13.0", "inference-cpu==1.8.3"),
    "anomalib": (*_REPORTING, "torch==2.13.0", "anomalib[openvino]==2.7.0"),
}
ENVS = Path(__file__).parents[1] / ".envs"


def python_of(envs: Path, name: str) -> Path:
    """The interpreter of a peer's environment."""
    return envs / name / "bin" / "python"


def install(envs: Path, name: str, find_links: str) -> None:
    """Make the peer's environment if it is missing. pip needs ten minutes to resolve it, uv only seconds."""
    if (envs / name / "installed").exists():
        return
    print(f"{name}: {' '.join(PACKAGES[name])} into {envs / name}", file=sys.stderr)
    venv.create(envs / name, with_pip=True, clear=True)
    python = str(python_of(envs, name))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    links = ["--find-links", find_links] if find_links else []
    # roboflow pins an older paho-mqtt for a block that is not used here.
    pinned = envs / name / "pinned.txt"
    pinned.write_text("\n".join(_REPORTING) + "\n")
    packages = ["--overrides", str(pinned), *links, *PACKAGES[name]]
    subprocess.run([python, "-m", "uv", "pip", "install", "--python", python, *packages], check=True)
    (envs / name / "installed").write_text("\n".join(PACKAGES[name]) + "\n")


def main() -> None:
    """Install the named peers, or all of them without a name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PACKAGES))
    parser.add_argument("--envs", type=Path, default=ENVS)
    parser.add_argument("--find-links", default=os.environ.get("PIP_FIND_LINKS", ""))
    given = parser.parse_args()
    for name in given.names:
        install(given.envs.resolve(), name, given.find_links)


if __name__ == "__main__":
    main()
