"""Lets `tfds build lunar_rocks`, run in the repository root, find the dataset.

The `tfds` command looks for `NAME/NAME_dataset_builder.py` in the working directory.
The dataset itself is `lunar_tfds.lunar_rocks`.
"""

from lunar_tfds.lunar_rocks import lunar_rocks_dataset_builder


class Builder(lunar_rocks_dataset_builder.Builder):
    """The dataset under the name that the command looks for."""

    pkg_dir_path = lunar_rocks_dataset_builder.Builder.pkg_dir_path
