"""The two splits of a run as distributed batches."""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds.opening import resolve_split
from model.training.config import TrainConfig
from pipeline import batching, records
from pipeline.batching import Position


class Data:
    """Training and validation examples: how many, and datasets of their batches.

    Args:
        config: of the run.
        builder: of the built dataset.
        strategy: that the batches are distributed by.

    Attributes:
        train_examples: how many.
        validation_examples: how many.
        steps_per_epoch: whole global batches of training.
        evaluation_steps: batches of validation, the last one padded.

    Raises:
        ValueError: a split that is none or empty.
    """

    def __init__(
        self,
        config: TrainConfig,
        builder: tfds.core.DatasetBuilder,
        strategy: tf.distribute.Strategy,
    ):
        self._config, self._builder, self._strategy = config, builder, strategy
        self._training = self._selection(config.train_split)
        self._validation = self._selection(config.validation_split)
        training = self._find("train_split", self._training)
        validation = self._find("validation_split", self._validation)
        self.train_examples = len(training)
        self.validation_examples = len(validation)
        if shared := records.num_shared(training, validation):
            logging.warning(
                "%d of the %d frames of --validation_split are in --train_split, too: "
                "the best checkpoint is picked on frames that were trained on.",
                *(shared, self.validation_examples),
            )
        self.steps_per_epoch = batching.steps_per_epoch(
            self.train_examples, config.global_batch_size
        )
        self.evaluation_steps = -(-self.validation_examples // config.global_batch_size)

    def _selection(self, split):
        if self._config.protocol is None:  # Says once what the dataset left out.
            split = resolve_split(self._builder, split)
        return self._config.selection(split)

    def _find(self, flag, selection):
        examples = records.find(self._builder, selection)
        if not len(examples):
            raise ValueError(f"--{flag} has no example. Choose another split")
        return examples

    def training(self, epoch: int, step: int) -> tf.distribute.DistributedDataset:
        """Returns the training batches from there on, without end."""
        config = self._config
        return self._strategy.distribute_datasets_from_function(
            lambda context: batching.training_dataset(
                self._builder,
                self._training,
                config.batches,
                Position(config.seed, epoch, step),
                augmentation=config.augmentation,
                reading=config.reading,
                input_context=context,
            )
        )

    def evaluation(self) -> tf.distribute.DistributedDataset:
        """Returns the validation batches, each example once."""
        return self._strategy.distribute_datasets_from_function(
            lambda context: batching.evaluation_dataset(
                self._builder,
                self._validation,
                self._config.batches,
                reading=self._config.reading,
                input_context=context,
            )
        )

    def panels(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and masks of the first `panels` validation examples."""
        size = self._config.image_size
        count = min(self._config.panels, self.validation_examples)
        if not count:
            return np.zeros((0, size, size, 3)), np.zeros((0, size, size), int)
        batches = dataclasses.replace(self._config.batches, global_batch_size=count)
        dataset = batching.evaluation_dataset(self._builder, self._validation, batches)
        images, masks, _ = next(iter(dataset))
        return images.numpy(), masks.numpy()
