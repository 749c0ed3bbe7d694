"""Keeps a command working in the environment that a notebook or a shell leaves it.

It runs before the imports that read these settings: Keras imports matplotlib, and reads
its own file, when it is imported.
"""

import importlib.util
import os
import sys


def prepare() -> None:
    """Replace what would end a command of this project before it starts.

    - MPLBACKEND: a backend that cannot be imported, such as a notebook's in a child
      process, becomes Agg.
    - KERAS_BACKEND: TensorFlow where it is not set, whatever ~/.keras/keras.json says.
    """
    backend = os.environ.get("MPLBACKEND", "")
    if backend.startswith("module://") and not _is_found(backend[len("module://") :]):
        os.environ["MPLBACKEND"] = "Agg"
    elif backend and not backend.startswith("module://"):
        if backend.lower() not in _BUILT_IN:
            os.environ["MPLBACKEND"] = "Agg"
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def check_backend() -> None:
    """Exit in one line where KERAS_BACKEND asks for another backend than TensorFlow."""
    backend = os.environ["KERAS_BACKEND"]
    if backend != "tensorflow":
        sys.exit(
            f"KERAS_BACKEND={backend} is set, and the commands need TensorFlow. Run "
            "`unset KERAS_BACKEND`, or set it to tensorflow."
        )


# Matplotlib's own backends; those for windows fall back by themselves without one.
_BUILT_IN = frozenset(
    "agg cairo pdf pgf ps svg template macosx gtk3agg gtk3cairo gtk4agg gtk4cairo "
    "nbagg notebook qtagg qtcairo qt5agg qt5cairo tkagg tkcairo webagg wx wxagg "
    "wxcairo".split()
)


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # Of its parent package.
        return False
