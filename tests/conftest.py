"""Fixtures shared by all tests."""

import pathlib
import signal

import hypothesis
import pytest

from tests.support import tiny_frames

# What a shell starts in the background ignores Ctrl-C, what nohup starts the end of the
# terminal, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# On a busy machine any example may take long.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

# These run first, so that at the end no core waits for the long file of another.
LONGEST = (
    "commands/test_train.py",
    "model/training/test_trainer.py",
    "pipeline/test_batching.py",
    "commands/test_demo.py",
    "lunar_tfds/test_one_mask.py",
    "test_end_to_end.py",
    "lunar_tfds/test_restart.py",
    "lunar_tfds/test_synthetic.py",
    "lunar_tfds/test_reuse.py",
    "benchmarks/test_network.py",
    "model/network/test_unet.py",
)


def pytest_configure(config):
    # With --dist loadfile pytest-xdist would start with the files of the most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    tests = pathlib.Path(__file__).parent
    rank = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


# 18 train, 3 validation and 3 test frames by the frozen hash, and 2 photos.
NUM_FRAMES = 24


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Returns a folder in the Kaggle layout: 24 drawn frames and 2 photos."""
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=NUM_FRAMES)


@pytest.fixture(scope="session")
def tiny_data_dir(tiny_folder, tmp_path_factory):
    """Returns a TFDS data_dir, pathlib.Path, with `lunar_rocks` built from it."""
    import tensorflow_datasets as tfds

    import lunar_tfds

    tfds.disable_progress_bar()
    data_dir = tmp_path_factory.mktemp("tfds")
    lunar_tfds.LunarRocks(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tiny_folder)
    )
    return data_dir


@pytest.fixture
def data_service():
    """Returns the address of a tf.data service with one worker."""
    import tensorflow as tf

    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    yield dispatcher.target
    del worker
