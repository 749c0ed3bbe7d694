"""Are a network's numbers numbers? Asked before any are saved, and when one is loaded.

A network with a nan or an infinity among its weights gives nan for every pixel. Of that
argmax makes class 0, and so masks and scores like those of a poor model.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np


def first_not_finite(variables: Iterable[Any]) -> str | None:
    """Returns the name of the first variable that holds a nan or an infinity, or None.

    Args:
        variables: of Keras or TensorFlow, of any dtype.
    """
    for variable in variables:
        values = variable.numpy()
        if values.dtype.kind not in "iub" and not np.isfinite(values).all():
            return getattr(variable, "path", variable.name)
    return None
