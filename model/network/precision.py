"""Precisions that the network computes in, and the Keras policy of each."""

import contextlib
from collections.abc import Iterator

import keras

# Variables stay in float32 under every one of them.
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


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
