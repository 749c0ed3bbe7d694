"""How artifacts run: by numpy and their own runtime, without TensorFlow if they can.

Nothing of this project is imported, so that a process can run a file as its users do:

    python -P model/export/runtimes.py FORMAT FILE IMAGE_SIZE RUNS NUM_THREADS

prints the median time of one image in ms and the most memory the process held in bytes,
as JSON. `measure` starts such a process.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SIGNATURE = "serving_default"
# Artifacts are for machines that may have no GPU: they are run and timed on the CPU,
# and their weights must lie there, or each call would copy them from the GPU.
CPU = "CPU:0"

# From uint8 [N, S, S, 3] to (mask int32 [N, S, S], probabilities float32
# [N, S, S, num_classes]), numpy arrays.
Artifact = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Cost(NamedTuple):
    """What one image costs.

    Attributes:
        latency_ms: median time on the CPU, ms.
        memory_bytes: the most that the process held, its libraries included; None where
            the system does not tell.
    """

    latency_ms: float
    memory_bytes: int | None


def saved_model(path: pathlib.Path, num_threads: int) -> Artifact:
    """Returns a SavedModel as a function. TensorFlow has threads of its own number."""
    import tensorflow as tf

    with tf.device(CPU):
        loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[SIGNATURE]

    def run(images, _loaded=loaded):  # The signature alone would not keep it alive.
        with tf.device(CPU):
            outputs = signature(image=tf.constant(images))
        return outputs["mask"].numpy(), outputs["probabilities"].numpy()

    return run


def onnx(path: pathlib.Path, num_threads: int) -> Artifact:
    """Returns an ONNX file as a function, run by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: tuple(
        session.run(["mask", "probabilities"], {"image": images})
    )


def litert(path: pathlib.Path, num_threads: int) -> Artifact:
    """Returns a LiteRT file as a function, run by ai-edge-litert."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
    runner = interpreter.get_signature_runner(SIGNATURE)

    def run(images, _interpreter=interpreter):
        outputs = runner(image=images)
        return outputs["mask"], outputs["probabilities"]

    return run


def measure(
    load: Callable[[pathlib.Path, int], Artifact],
    path: pathlib.Path,
    image_size: int,
    runs: int,
    num_threads: int,
) -> Cost:
    """Returns what one image costs an artifact in a process that does nothing else.

    Args:
        load: a function of this module.
        path: the artifact.
        image_size: S, px.
        runs: of which the median is taken, after one that does not count.
        num_threads: of the runtime.

    Raises:
        RuntimeError: the process failed; says with what.
    """
    arguments = load.__name__, path, image_size, runs, num_threads
    done = subprocess.run(
        [sys.executable, "-P", __file__, *map(str, arguments)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RuntimeError(f"{path} does not run by itself: {reason}")
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def median_ms(
    run: Callable[[np.ndarray], object], image: np.ndarray, runs: int
) -> float:
    """Returns the median time of `run(image)` in ms, without a first one."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def _peak_memory():
    """Returns the bytes that this process held at most, None but on Linux."""
    # Unlike getrusage's, this does not begin with the parent's.
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    return next((int(n.split()[1]) * 1024 for n in lines if "VmHWM" in n), None)


def _main(kind, path, image_size, runs, num_threads):
    run = globals()[kind](pathlib.Path(path), int(num_threads))
    image = np.zeros((1, int(image_size), int(image_size), 3), np.uint8)
    latency = median_ms(run, image, int(runs))
    print(json.dumps((latency, _peak_memory())))


if __name__ == "__main__":
    _main(*sys.argv[1:])
