"""Masks from ONNX Runtime: single frames in parallel on a CPU, batches on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.segmenters.model_folder import GPU_BATCH, FolderSegmenter, FolderSettings
from edge_inspector.segmenters.onnx_session import OnnxEngine, Provider, Wanted, create_session


class OnnxSegmenter(FolderSegmenter):
    """A model folder on the first provider of `providers` that starts."""

    class Settings(FolderSettings):
        """The execution providers of ONNX Runtime, and their options."""

        providers: Annotated[tuple[Provider, ...], Field(min_length=1)] = ("tensorrt", "cuda", "cpu")
        """Execution providers in the order in which they are tried. The first that starts is used."""
        require_provider: Provider | None = None
        """Use this provider only. If it does not start, the station does not start."""
        engine_cache: Path | None = None
        """Folder for the engines that TensorRT builds. Without it every start may take minutes."""
        gpu: Annotated[int, Field(ge=0, le=15)] = 0
        """Number of the GPU, from 0."""

    _settings: Settings

    def _start(self, manifest: Manifest) -> OnnxEngine:
        chosen = self._settings
        wanted = Wanted(
            precision=chosen.precision,
            providers=chosen.providers,
            required=chosen.require_provider,
            intra_op_threads=chosen.intra_op_threads,
            gpu_batch=chosen.max_batch or GPU_BATCH,
            gpu=chosen.gpu,
            engine_cache=chosen.engine_cache,
            named="providers" in chosen.model_fields_set,
        )
        return create_session(self._model_dir, manifest, wanted)
