"""Precisions that the network computes in, and the Keras policy of each."""

import contextlib
import pathlib
from collections.abc import Iterator

import keras
from absl import logging

# Variables stay in float32 under every one of them.
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}

# What Linux calls the arithmetic of a CPU, any of which is enough: x86's, then Arm's.
_CPU_FLAGS: dict[str, set[str]] = {
    "float32": set(),
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def cpu_has(precision: str, cpuinfo: str = "/proc/cpuinfo") -> bool | None:
    """Returns whether this machine's CPU has a precision's arithmetic, None if unknown.

    Args:
        precision: a key of `POLICIES`.
        cpuinfo: where Linux names a CPU's flags; elsewhere nothing is known.
    """
    needed = _CPU_FLAGS[precision]
    if not needed:
        return True
    try:
        lines = pathlib.Path(cpuinfo).read_text().splitlines()
    except OSError:
        return None
    words = [set(line.split()) for line in lines if line.startswith(("flags", "Feat"))]
    return bool(needed & words[0]) if words else None


def is_emulated_on_cpu(precision: str) -> bool:
    """Returns whether this machine's CPU is known to lack a precision's arithmetic.

    TensorFlow then emulates it, and a step takes tens of times as long as in float32.
    """
    return cpu_has(precision) is False


def warn_if_emulated(precision: str) -> None:
    """Says in one line that a precision which was asked for is slow on this CPU."""
    if is_emulated_on_cpu(precision):
        logging.warning(
            "--precision=%s is emulated on this processor, tens of times slower than "
            "float32: leave the flag out.",
            precision,
        )


@contextlib.contextmanager
def policy(precision: str) -> Iterator[None]:
    """Makes layers that are built inside compute in a precision.

    Args:
        precision: a key of `POLICIES`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def precision_of(model: keras.Model) -> str:
    """Returns the key of `POLICIES` in which most of a model's layers compute."""
    found = {layer.compute_dtype for layer in model.layers}
    return next((name for name in POLICIES if name in found - {"float32"}), "float32")


def set_precision(model: keras.Model, precision: str) -> None:
    """Makes a model compute in a precision, as if it had been built under its policy.

    Its input, the layer `preprocess` and the layers that give its outputs stay in
    float32. Functions that were traced before keep their precision.

    Args:
        model: a functional model of stock layers.
        precision: a key of `POLICIES`.
    """
    last = {output._keras_history.operation.name for output in model.outputs}
    for layer in model.layers:
        is_input = isinstance(layer, keras.layers.InputLayer)
        if not is_input and layer.name not in last | {"preprocess"}:
            layer.dtype_policy = keras.DTypePolicy(POLICIES[precision])
