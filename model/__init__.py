"""Network, losses, metrics, training loop, checkpoints, prediction."""

import os
import platform

# TensorFlow takes oneDNN's kernels by itself only where the processor has AVX-512 with
# VNNI. With AVX2 alone a prediction is 1.2 to 1.5 times as fast with them. Read when
# TensorFlow is imported, so before that.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import lunar_tfds  # noqa: E402, F401, first: Ctrl-C is one line from then on.
