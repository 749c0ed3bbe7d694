"""Checks the light encoder: its graph, its weights, and the network on it."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from model.network import efficientnet_lite0 as lite
from model.network import unet
from model.network.checkpoints import load_checkpoint, save_model
from model.network.unet import build_unet
from model.training.config import TrainConfig

LITE = {"encoder": "efficientnet_lite0", "encoder_weights": None}
DETAILS = {"image_size": 64, "mask": "ground", "class_names": ["a", "b", "c", "d"]}


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, 3), "float32")


@pytest.fixture(scope="module")
def pretrained():
    return build_unet(image_size=64, encoder="efficientnet_lite0")


class Reference:
    """The published graph, in numpy-like TensorFlow calls on the file's own arrays."""

    def __init__(self, path):
        self.arrays = {}
        with h5py.File(path) as file:
            for kind in ("conv2d", "depthwise_conv2d", "batch_normalization"):
                names = [n for n in file["layers"] if n.rstrip("0123456789_") == kind]
                names.sort(key=lambda n, k=kind: int(n[len(k) + 1 :] or 0))
                self.arrays[kind] = [
                    [
                        file[f"layers/{n}/vars/{i}"][()].astype("float32")
                        for i in range(len(file[f"layers/{n}/vars"]))
                    ]
                    for n in names
                ]

    def convolve(self, x, stride=1, relu=True):
        (kernel,) = self.arrays["conv2d"].pop(0)
        return self.normalize(tf.nn.conv2d(x, kernel, stride, "SAME"), relu)

    def depthwise(self, x, stride):
        (kernel,) = self.arrays["depthwise_conv2d"].pop(0)
        strides = [1, stride, stride, 1]
        x = tf.nn.depthwise_conv2d(x, kernel, strides, "SAME")
        return self.normalize(x, True)

    def normalize(self, x, relu):
        gamma, beta, mean, variance = self.arrays["batch_normalization"].pop(0)
        x = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return tf.nn.relu6(x) if relu else x

    def __call__(self, image):
        x = self.convolve((image * 255 - 127) / 128, 2)
        strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
        widths = [16, *[24] * 2, *[40] * 2, *[80] * 3, *[112] * 3, *[192] * 4, 320]
        for unit, (stride, width) in enumerate(zip(strides, widths, strict=True)):
            y = self.convolve(x) if unit else x
            y = self.convolve(self.depthwise(y, stride), relu=False)
            x = x + y if stride == 1 and x.shape[-1] == width else y
        assert not any(self.arrays.values())  # All of the file was used.
        return x


def test_the_encoder_computes_what_the_file_says(pretrained):
    image = random_images(2, 64, 64)
    last = pretrained.get_layer("block5_unit5_project_norm").output
    ours = keras.Model(pretrained.input, last)(image)
    reference = Reference(lite.FILE)(image)
    assert ours.shape == (2, 2, 2, 320)
    np.testing.assert_allclose(ours, reference, atol=2e-4 * np.abs(reference).max())


def test_skips_have_strides_2_to_16_and_logits_the_image_size():
    model = build_unet(image_size=(64, 96), **LITE, context=True)
    for level, stride in ((2, 2), (3, 4), (4, 8), (5, 16)):
        shape = model.get_layer(f"decoder{level}_concatenate").output.shape
        assert shape[1:3] == (64 // stride, 96 // stride)
    assert model.output_shape == (None, 64, 96, 4)
    assert model.name == "efficientnet_lite0_unet"
    assert model(random_images(1, 64, 96)).dtype == tf.float32
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    assert lite.FILE.stat().st_size < 7e6


@pytest.mark.parametrize("frozen", [0, 2, 5])
def test_frozen_blocks_keep_kernels_and_statistics(frozen, pretrained):
    model = build_unet(
        image_size=64, encoder="efficientnet_lite0", frozen_blocks=frozen
    )
    before = {v.path: np.array(v) for v in model.variables}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(random_images(2, 64, 64), np.zeros((2, 64, 64, 4)), verbose=0)
    changed = {v.path for v in model.variables if not np.array_equal(v, before[v.path])}
    for block in range(1, 6):
        learned = [path for path in changed if path.startswith(f"block{block}_")]
        assert bool(learned) == (block > frozen)
        statistics = any(path.endswith("moving_mean") for path in learned)
        assert statistics == (block > frozen)
    assert any(path.startswith("decoder1") for path in changed)


def test_context_lets_a_corner_see_the_opposite_one():
    image = np.zeros((1, 256, 256, 3), "float32")
    other = image.copy()
    other[:, -32:, -32:] = 1.0
    for context in (False, True):
        keras.utils.set_random_seed(0)
        model = build_unet(image_size=256, encoder_weights=None, context=context)
        change = np.abs(model(other) - model(image))[0, :8, :8].max()
        assert (change > 1e-4) == context


def test_context_reaches_the_light_encoder_too():
    plain, wide = (build_unet(image_size=64, **LITE, context=c) for c in (False, True))
    added = {layer.name for layer in wide.layers} - {x.name for x in plain.layers}
    assert "context_global" in added
    assert all(name.startswith("context_") for name in added)


def test_a_saved_network_names_its_encoder_and_loads(tmp_path, pretrained):
    path = tmp_path / "light.keras"
    save_model(pretrained, path, DETAILS | {"encoder": "efficientnet_lite0"})
    model, details, _ = load_checkpoint(path)
    assert details["encoder"] == "efficientnet_lite0"
    image = random_images(1, 64, 64)
    np.testing.assert_array_equal(model(image), pretrained(image))
    for layer, block in unet.encoder_layers(model):
        assert layer.name.startswith(f"block{block}_")


def test_weights_of_the_other_encoder_are_refused_in_one_line(tmp_path):
    vgg16 = tmp_path / "vgg16.weights.h5"
    keras.applications.VGG16(include_top=False, weights=None).save_weights(vgg16)
    light = str(lite.FILE)
    for encoder, path in (("efficientnet_lite0", str(vgg16)), ("vgg16", light)):
        with pytest.raises(ValueError, match=f"no readable weights of {encoder}") as e:
            build_unet(image_size=64, encoder=encoder, encoder_weights=path)
        assert "\n" not in str(e.value)


def test_a_starter_on_the_other_encoder_is_refused():
    with pytest.raises(ValueError, match="starter is a network on vgg16"):
        build_unet(
            image_size=64, encoder="efficientnet_lite0", encoder_weights="starter"
        )


def test_missing_weights_name_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(lite, "FILE", tmp_path / "weights" / "none.h5")
    with pytest.raises(ValueError, match="missing.*git checkout -- weights"):
        build_unet(image_size=64, encoder="efficientnet_lite0")


def test_settings_follow_the_encoder():
    config = TrainConfig(encoder="efficientnet_lite0")
    assert config.frozen_blocks == 0
    assert config.workdir == "runs/efficientnet_lite0_unet"
    assert TrainConfig().frozen_blocks == 4
    assert TrainConfig().workdir == "runs/vgg16_unet"
    with pytest.raises(ValueError, match="multiple of 32.*--encoder=efficientnet"):
        TrainConfig(encoder="efficientnet_lite0", image_size=144)
