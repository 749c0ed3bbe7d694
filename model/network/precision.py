"""Precisions that the network computes in, and the Keras policy of each."""

import contextlib
import pathlib
from collections.abc import Iterator

import keras

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


def is_emulated_on_cpu(precision: str, cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Returns whether this machine's CPU is known to lack a precision's arithmetic.

    TensorFlow then emulates it, and a step takes tens of times as long as in float32.

    Args:
        precision: a key of `POLICIES`.
        cpuinfo: where Linux names a CPU's flags; elsewhere nothing is known.
    """
    try:
        lines = pathlib.Path(cpuinfo).read_text().splitlines()
    except OSError:
        return False
    words = [set(line.split()) for line in lines if line.startswith(("flags", "Feat"))]
    needed = _CPU_FLAGS[precision]
    return bool(needed and words) and not needed & words[0]


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
