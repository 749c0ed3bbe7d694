"""The weights that a run starts from: a network's of before, or the encoder's alone."""

import keras

from lunar_tfds.palette import CLASS_NAMES
from model.network.checkpoints import load_checkpoint


def load_initial_checkpoint(model: keras.Model, checkpoint: str) -> None:
    """Copies the weights of a trained network into `model`, layer by layer.

    The network is convolutional: its image size may be another one.

    Args:
        model: what `build_unet` returned.
        checkpoint: `starter`, a .keras file of train.py, or a workdir: its best.

    Raises:
        ValueError: no such checkpoint, or one of other classes or another network.
    """
    source, details, path = load_checkpoint(checkpoint)
    if tuple(details["class_names"]) != CLASS_NAMES:
        raise ValueError(
            f"--initial_checkpoint={checkpoint} must know the classes "
            f"{', '.join(CLASS_NAMES)}: {path} knows "
            f"{', '.join(details['class_names'])}. Train from --encoder_weights instead"
        )
    ours, theirs = _shapes(model), _shapes(source)
    if ours != theirs:
        differing = sorted(ours.items() ^ theirs.items())[0][0]
        raise ValueError(
            f"--initial_checkpoint={checkpoint} must hold the same network: layer "
            f"{differing} of {path} differs. Where its run had --nonormalize_skips, "
            "give it here too"
        )
    for name in ours:
        model.get_layer(name).set_weights(source.get_layer(name).get_weights())


def _shapes(model):
    """Returns the shapes of the weights of each layer that has some."""
    layers = (layer for layer in model.layers if layer.weights)
    return {
        layer.name: tuple(tuple(w.shape) for w in layer.weights) for layer in layers
    }
