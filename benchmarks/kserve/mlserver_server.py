"""A real MLServer with one model. It runs in an environment of its own: `pip install mlserver onnxruntime`.

It knows nothing of this project. While the file SLOW is there, each call takes as many seconds more as it says.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from pathlib import Path

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor


class Segmenter(MLModel):
    """The model of the command line."""

    async def load(self) -> bool:
        """Open it, and say what it takes and gives."""
        told = self.settings.parameters.extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._slow = Path(told["slow"])
        self._session = onnxruntime.InferenceSession(told["model"], options, providers=["CPUExecutionProvider"])
        source, target = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._names = source.name, target.name
        self.inputs = [MetadataTensor(name=source.name, datatype="UINT8", shape=[-1, *source.shape[1:]])]
        self.outputs = [MetadataTensor(name=target.name, datatype="UINT8", shape=[-1, *target.shape[1:]])]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Masks of pictures."""
        with suppress(OSError):  # nobody wants it to be slow
            time.sleep(float(self._slow.read_text()))  # noqa: ASYNC251 -- slow, as a model is
        pictures = NumpyCodec.decode_input(payload.inputs[0])
        masks = self._session.run(None, {self._names[0]: pictures})[0]
        return InferenceResponse(
            model_name=self.name,
            model_version="1",
            outputs=[NumpyCodec.encode_output(self._names[1], masks)],
        )


async def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser()
    for name in ("model", "name", "slow"):
        parser.add_argument(name)
    for name in ("grpc", "http"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    server = MLServer(
        Settings(
            host="127.0.0.1",
            http_port=given.http,
            grpc_port=given.grpc,
            metrics_endpoint=None,
            parallel_workers=0,
            debug=False,
        )
    )
    settings = ModelSettings(
        name=given.name,
        implementation=Segmenter,
        parameters={"version": "1", "extra": {"model": given.model, "slow": given.slow}},
    )
    await server.start([settings])


if __name__ == "__main__":
    asyncio.run(main())
