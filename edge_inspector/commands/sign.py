"""`edge-inspector sign`: release a model folder or a recipe with a signature."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.signatures import new_key, sign, signature_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("what", type=Path, nargs="*", metavar="MODEL_DIR|RECIPE.toml", help="what is signed")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the file with the private key")
    parser.add_argument("--new", action="store_true", help="make the key first. Keep its file away from the station")


def run(given: argparse.Namespace) -> int:
    """Sign each one, and show the public key for the station file."""
    missing = [each for each in given.what if not each.exists()]
    if missing:
        raise ConfigError([Fault(str(each), "there is no such file or folder") for each in missing])
    if not given.what and not given.new:
        raise ConfigError([Fault("MODEL_DIR|RECIPE.toml", "name what to sign, or make a key with --new")])
    public = new_key(given.key) if given.new else ""
    for each in given.what:
        public = sign(each.resolve(), given.key)
        print(f"signed: {signature_path(each)}")
    print(f'public key, for the station file:\n[trust]\nkeys = ["{public}"]')
    return 0
