"""Every fuzz target over its good examples and some hundred damaged ones; `make fuzz` goes on to millions."""

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import fuzz_targets

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def harness() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    fuzz_targets.close()


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_hostile_bytes_raise_nothing_unexpected(harness: ModuleType, name: str) -> None:
    target, seeds = fuzz_targets.TARGETS[name]
    for seed in [b"", *seeds]:
        target(seed)
    chance = random.Random(name)
    for _ in range(300):
        target(harness.mutated(chance.choice(seeds), chance))
