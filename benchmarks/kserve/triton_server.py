"""A real Triton with one model. It runs in an environment of its own: `pip install nvidia-pytriton onnxruntime`.

It knows nothing of this project. While the file SLOW is there, each call takes as many seconds more as it says.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser()
    for name in ("model", "name", "slow"):
        parser.add_argument(name)
    for name in ("grpc", "http"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given.model, options, providers=["CPUExecutionProvider"])
    source, target = session.get_inputs()[0], session.get_outputs()[0]

    @batch
    def infer(**inputs: Any) -> dict[str, Any]:
        with suppress(OSError):  # nobody wants it to be slow
            time.sleep(float(Path(given.slow).read_text()))
        return {target.name: session.run(None, {source.name: inputs[source.name]})[0]}

    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=given.grpc,
        http_address="127.0.0.1",
        http_port=given.http,
        allow_metrics=False,
        exit_on_error=True,
    )
    open_to_all = TritonSecurityConfig(restricted_endpoints=[])  # stations share memory with it
    with Triton(config=config, security_config=open_to_all) as triton:
        triton.bind(
            model_name=given.name,
            infer_func=infer,
            inputs=[Tensor(name=source.name, dtype=np.uint8, shape=tuple(source.shape[1:]))],
            outputs=[Tensor(name=target.name, dtype=np.uint8, shape=tuple(target.shape[1:]))],
            config=ModelConfig(max_batch_size=8, batcher=DynamicBatcher()),
            strict=True,
        )
        triton.serve()


if __name__ == "__main__":
    main()
