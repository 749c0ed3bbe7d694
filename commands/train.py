"""Trains VGG16-UNet on lunar_rocks: `python train.py --strategy=mirrored`.

Start the same command again to continue a run that was stopped in any way. Exit
status: 0 finished, 1 an error, 75 stopped with its state saved: start it again.
"""

import os
from collections.abc import Sequence

import tensorflow as tf
from absl import logging

from lunar_tfds import command_line
from model.training.config import TrainConfig
from model.training.preemption import EXIT_STARTS_AGAIN
from model.training.run import train_and_evaluate
from model.training.strategies import LOST_WORKER_ERRORS


def train(config: TrainConfig) -> int:
    """Trains; returns the exit status."""
    try:
        result = train_and_evaluate(config)
    except LOST_WORKER_ERRORS as error:
        if config.strategy != "multi_worker_mirrored":
            raise
        logging.error(
            "Lost another worker. Start all workers again with the same command to "
            "continue from the saved state. (%s)",
            str(error).splitlines()[0],
        )
        logging.flush()
        os._exit(EXIT_STARTS_AGAIN)  # TensorFlow's own exit would wait for the peer.
    return command_line.EXIT_DONE if result.is_finished else EXIT_STARTS_AGAIN


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    tf.get_logger().setLevel("WARNING")  # It tells of every sum over replicas.
    return command_line.run(TrainConfig, train, argv)
