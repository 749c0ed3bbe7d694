"""Runs that start from a trained network."""

import keras
import numpy as np
import pytest

from lunar_tfds.palette import CLASS_NAMES
from model.network.checkpoints import load_checkpoint, save_model
from model.network.unet import build_unet
from model.training.config import TrainConfig
from model.training.first_weights import load_initial_checkpoint


def network(size=32, **settings):
    return build_unet(
        image_size=size, encoder_weights=None, frozen_blocks=0, **settings
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(model, checkpoint) with weights that no initialisation gives."""
    keras.utils.set_random_seed(5)
    model = network()
    model.set_weights([w + 0.25 for w in model.get_weights()])
    path = tmp_path_factory.mktemp("first") / "a.keras"
    details = {"image_size": 32, "mask": "ground", "class_names": list(CLASS_NAMES)}
    save_model(model, path, details)
    return model, path


def test_a_network_of_another_size_starts_with_the_same_weights(trained):
    model, path = trained
    larger = network(size=48)
    load_initial_checkpoint(larger, str(path))
    for ours, theirs in zip(larger.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_network_and_other_classes_are_refused(trained, tmp_path):
    model, path = trained
    with pytest.raises(ValueError, match="layer decoder1_skip_norm .* --nonormalize"):
        load_initial_checkpoint(network(normalize_skips=False), str(path))
    names = ["ground", "sky", "pebble", "boulder"]
    details = {"image_size": 32, "mask": "ground", "class_names": names}
    save_model(model, tmp_path / "b.keras", details)
    with pytest.raises(ValueError, match="b.keras knows ground, sky, pebble, boulder"):
        load_initial_checkpoint(model, str(tmp_path / "b.keras"))
    with pytest.raises(ValueError, match="does not exist"):
        load_initial_checkpoint(model, str(tmp_path / "c.keras"))


def test_encoder_weights_beside_it_are_refused_and_blocks_stay_frozen():
    with pytest.raises(ValueError, match="none does nothing with --initial_checkpoint"):
        TrainConfig(initial_checkpoint="a.keras", encoder_weights="none")
    assert TrainConfig(initial_checkpoint="a.keras").blocks_frozen == 4


def test_the_encoder_of_the_starter_is_taken_by_its_name():
    model = build_unet(image_size=32, encoder_weights="starter")
    source, _, _ = load_checkpoint("starter")
    for name in ("block1_conv1", "block5_conv3"):
        ours, theirs = (m.get_layer(name).get_weights() for m in (model, source))
        np.testing.assert_array_equal(ours[0], theirs[0])
    ours, theirs = (m.get_layer("decoder1_conv").get_weights() for m in (model, source))
    assert not np.array_equal(ours[0], theirs[0])
    assert not model.get_layer("block4_conv3").trainable
