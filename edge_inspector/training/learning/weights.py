"""Reads weights as people have them. A file may come from anywhere, so nothing in it is run."""

import pickle
import struct
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from edge_inspector.errors import ConfigError, Fault

_WRAPPERS: Final = ("module.", "_orig_mod.", "model.")
_DAMAGED: Final = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, OverflowError, OSError, struct.error),
)
"""What torch raises for a file that is damaged or of another kind."""


def read_weights(path: Path, option: str) -> dict[str, Tensor]:
    """The weights in a file as people have them: a state dict, inside a checkpoint or not. Raises ConfigError.

    Names lose what wrappers put before them: `module.` of several GPUs, `_orig_mod.` of the compiler.
    """
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
    except _DAMAGED as error:
        what = (
            f"{path} holds no plain weights. A whole pickled module could run any code and is not read: save "
            "net.state_dict() with torch.save"
        )
        raise ConfigError([Fault(option, what)]) from error
    for key in ("mean", "state_dict", "model_state_dict", "model", "net"):
        if isinstance(kept, dict) and isinstance(kept.get(key), dict):
            kept = kept[key]
            break
    if not isinstance(kept, dict) or not any(isinstance(value, Tensor) for value in kept.values()):
        raise ConfigError([Fault(option, f"{path} holds no weights by name")])
    return {_bare(name): value for name, value in kept.items() if isinstance(value, Tensor)}


def _bare(name: str) -> str:
    while before := next((each for each in _WRAPPERS if name.startswith(each)), ""):  # one may be inside the other
        name = name.removeprefix(before)
    return name
