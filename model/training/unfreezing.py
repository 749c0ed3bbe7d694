"""Two-stage training: the decoder first, then the encoder with it."""

from collections.abc import Mapping

import keras

from model.network.unet import freeze_encoder


class UnfreezeEncoder(keras.callbacks.Callback):
    """Trains with fewer frozen encoder blocks from an epoch on.

    Build the optimizer on `later_variables(...)` first: its moments then exist in both
    stages. The trainer compiles its step anew when the trainable variables change.

    Args:
        epoch: first epoch of the second stage, from 1.
        frozen_blocks: encoder blocks frozen before it.
        later_frozen_blocks: encoder blocks frozen from it on.
    """

    def __init__(self, epoch: int, frozen_blocks: int, later_frozen_blocks: int):
        super().__init__()
        self._epoch = epoch
        self._frozen_blocks = frozen_blocks
        self._later_frozen_blocks = later_frozen_blocks

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        """Freezes the blocks of the stage that `epoch`, from 0, belongs to."""
        later = epoch + 1 >= self._epoch
        freeze_encoder(
            self.model, self._later_frozen_blocks if later else self._frozen_blocks
        )


def later_variables(
    model: keras.Model, frozen_blocks: int, later_frozen_blocks: int
) -> list[keras.Variable]:
    """Returns every variable that either stage trains; leaves the first stage set."""
    freeze_encoder(model, min(frozen_blocks, later_frozen_blocks))
    variables = list(model.trainable_variables)
    freeze_encoder(model, frozen_blocks)
    return variables
