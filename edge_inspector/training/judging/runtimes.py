"""Runs model folders and model files as a station does. Needs only a runtime, no training library."""

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from edge_inspector.driver_table import DEFAULT_RUNTIME, RUNTIMES
from edge_inspector.drivers import driver_names, load_driver
from edge_inspector.errors import ConfigError, Fault
from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.segmenters.onnx_session import load_runtime
from edge_inspector.training.data.folder import Image
from edge_inspector.training.judging.evidence import Predict

# Two graphs of one file may round differently. Many pixels that are far off mean saturation.
MAX_DISAGREEMENT: Final = 1e-3


def model_predictor(model_dir: Path, precision: str, driver: str = DEFAULT_RUNTIME) -> tuple[Predict, Any]:
    """A function from a frame to its mask that uses a station's own driver, and the ModelInfo of the running model.

    Raises ConfigError.
    """
    known = driver_names("segmenters")
    if driver not in known:
        raise ConfigError([Fault("--driver", f"unknown driver {driver!r}. There are: {', '.join(known)}")])
    settings: dict[str, Any] = {"precision": precision, "workers": 1, "max_batch": 1}
    try:
        kind = load_driver("segmenters", driver)
        if "providers" in kind.Settings.model_fields:
            settings["providers"] = ("cpu",)
        segmenter = kind(model_dir, kind.Settings(**settings))
        segmenter.open()
    except ImportError as error:
        raise ConfigError([Fault("--driver", f"{driver!r} needs a package that is not installed: {error}")]) from error
    except ValidationError as error:
        raise ConfigError([Fault("--driver", f"{driver!r} cannot run a model folder for itself alone")]) from error

    def predict(image: Image) -> Image:
        flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
        mask: Image = segmenter.segment([np.ascontiguousarray(flat)])[0]
        return mask

    return predict, segmenter.info


def blank(manifest: Manifest) -> Image:
    """A grey image of the model's size. The time of a run does not depend on its content."""
    size = manifest.input
    return np.full((size.height, size.width, size.channels), 128, np.uint8)


def cpu_drivers() -> list[str]:
    """The segmenter drivers that can run here, the fastest last."""
    return [name for name, package in RUNTIMES.items() if importlib.util.find_spec(package)]


def open_session(path: Path, *, optimised: bool = True) -> Any:
    """A session of ONNX Runtime for a file, with one thread on the CPU. Raises ConfigError without the runtime."""
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def disagreement(int8: Path, images: Sequence[Image]) -> float:
    """Share of mask values that differ by more than 0.1 in probability between the two graphs of one file.

    The unoptimised graph computes in float what the optimised one computes in integers, where it may saturate.
    """
    fast, plain = open_session(int8), open_session(int8, optimised=False)
    far = []
    for image in images:
        feed = {"image": image[np.newaxis]}
        difference = fast.run(None, feed)[0].astype(np.int16) - plain.run(None, feed)[0].astype(np.int16)
        far.append(float(np.mean(np.abs(difference) > 25)))
    return float(np.mean(far))


def interleaved_ms(predicts: Sequence[Predict], image: Image, repeats: int = 40) -> list[float]:
    """Median time of one frame for each model, run in turn, in CPU time of this process.

    CPU time excludes other work of the machine. Each model computes in one thread, so on an idle machine the wall clock
    shows the same.
    """
    times: list[list[float]] = [[] for _ in predicts]
    for _ in range(repeats):
        for predict, taken in zip(predicts, times, strict=True):
            start = time.process_time()
            predict(image)
            taken.append((time.process_time() - start) * 1e3)
    return [float(np.median(taken)) for taken in times]
