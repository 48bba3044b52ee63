"""`edge-inspector sign`: release a model folder, a recipe or a release of the program, and check who did."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.store.signatures import is_public_key, new_key, objection, sign, signature_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("what", type=Path, nargs="*", metavar="FOLDER|FILE", help="a model folder, a recipe, a release")
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", type=Path, metavar="FILE", help="sign with the private key in this file")
    key.add_argument("--check", metavar="PUBLIC_KEY", help="say whether each one is as this key has signed it")
    parser.add_argument("--new", action="store_true", help="make the key first. Keep its file away from the station")


def run(given: argparse.Namespace) -> int:
    """Sign each one and show the public key for the station file, or check each one. 1 if one is not as signed."""
    missing = [each for each in given.what if not each.exists()]
    if missing:
        raise ConfigError([Fault(str(each), "there is no such file or folder") for each in missing])
    if not given.what and not given.new:
        raise ConfigError([Fault("FOLDER|FILE", "name what to sign or to check, or make a key with --new")])
    if given.check is not None:
        return _check(given.what, given.check)
    public = new_key(given.key) if given.new else ""
    for each in given.what:
        public = sign(each.resolve(), given.key)
        print(f"signed: {signature_path(each)}")
    print(f'public key, for the station file:\n[trust]\nkeys = ["{public}"]')
    return 0


def _check(what: Sequence[Path], key: str) -> int:
    if not is_public_key(key):
        raise ConfigError([Fault("--check", "is no public key that `edge-inspector sign` showed")])
    told = {each: objection(each.resolve(), [key]) for each in what}
    for each, why in told.items():
        print(f"{each}: {why or 'is as this key has signed it'}")
    return int(any(told.values()))
