"""TFDS's own test of a dataset."""

from unittest import mock

import pytest
import tensorflow_datasets as tfds

import lunar_tfds
from tests.support import tiny_frames


class LunarRocksTest(tfds.testing.DatasetBuilderTestCase):
    """Builds from a folder of tiny frames and checks what TFDS asks of a dataset."""

    DATASET_CLASS = lunar_tfds.LunarRocks
    SPLITS = {"train": 4, "validation": 1, "test": 2, "real": 2}
    SKIP_TF1_GRAPH_MODE = True

    def setUp(self):
        super().setUp()
        # The test case replaces os.environ by a mock, which is neither 0 nor 1.
        switch = mock.patch.object(lunar_tfds.LunarRocks, "_leave_out", False)
        self.enter_context(switch)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def example_dir(cls, tmp_path_factory):
        cls.EXAMPLE_DIR = tmp_path_factory.mktemp("case")
        tiny_frames.write_kaggle_folder(cls.EXAMPLE_DIR, num_frames=7)
