"""The Artificial Lunar Rocky Landscape Dataset for TensorFlow Datasets.

Importing this package registers `lunar_rocks`, so that `tfds.load('lunar_rocks')` and
`tfds build lunar_rocks --imports lunar_tfds` find it.
"""

import importlib.util

from lunar_tfds import environment, terminal

# Both before the imports that take seconds.
terminal.end_on_interrupt()
if terminal.is_command():
    environment.prepare()

# Without TensorFlow nothing can be registered. The modules that do not need it
# (settings, command line, palette) serve the network under JAX.
if importlib.util.find_spec("tensorflow") is not None:
    from lunar_tfds.lunar_rocks.lunar_rocks_dataset_builder import (
        Builder as LunarRocks,
    )
    from lunar_tfds.lunar_rocks.lunar_rocks_dataset_builder import LunarRocksConfig

    __all__ = ["LunarRocks", "LunarRocksConfig"]
