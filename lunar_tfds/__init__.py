"""The Artificial Lunar Rocky Landscape Dataset for TensorFlow Datasets.

Importing this package registers `lunar_rocks`, so that `tfds.load('lunar_rocks')` and
`tfds build lunar_rocks --imports lunar_tfds` find it.
"""

from lunar_tfds.lunar_rocks.lunar_rocks_dataset_builder import Builder as LunarRocks
from lunar_tfds.lunar_rocks.lunar_rocks_dataset_builder import LunarRocksConfig

__all__ = ["LunarRocks", "LunarRocksConfig"]
