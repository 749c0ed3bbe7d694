import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.network import unet
from model.network.precision import POLICIES, policy
from model.network.unet import build_unet
from tests.support.narrow import make_narrow


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, 3), "float32")


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build_unet(image_size=64, encoder_weights=None, frozen_blocks=0)


@pytest.fixture(scope="module")
def vgg16():
    keras.utils.set_random_seed(1)
    return keras.applications.VGG16(include_top=False, weights=None)


@pytest.fixture(scope="module")
def weights_file(vgg16, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.weights.h5"
    vgg16.save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def pretrained(weights_file):
    return build_unet(image_size=None, encoder_weights=weights_file)


def test_one_flat_graph_under_keras_names_ending_in_float32_logits(network, vgg16):
    names = [layer.name for layer in network.layers]
    encoder = [layer.name for layer in vgg16.layers if "block" in layer.name]
    assert names[:2] == ["image", "preprocess"]
    assert names[2 : 2 + len(encoder) - 1] == encoder[:-1]  # block5_pool is not used.
    assert not any(isinstance(layer, keras.Model) for layer in network.layers)
    assert {type(layer).__module__.split(".")[0] for layer in network.layers} == {
        "keras"
    }
    assert network.output_shape == (None, 64, 64, 4)
    assert network(random_images(1, 64, 64)).dtype == tf.float32
    levels = [n for n in names if n.startswith("decoder")]
    parts = ("upsample", "skip_norm", "concatenate", "conv", "norm", "activation")
    assert levels[:6] == [f"decoder4_{part}" for part in parts]
    assert not network.get_layer("decoder1_conv").use_bias
    assert network.get_layer("decoder1_conv").output.shape == (None, 64, 64, 32)


@pytest.mark.parametrize("precision", POLICIES)
def test_preprocessing_is_exactly_kerass(precision, narrow):
    with policy(precision):
        model = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    preprocess = keras.Model(model.input, model.get_layer("preprocess").output)
    image = np.concatenate(
        [random_images(1, 32, 32), np.arange(3072).reshape(1, 32, 32, 3) % 256 / 255]
    ).astype("float32")
    expected = keras.applications.vgg16.preprocess_input(image * np.float32(255))
    assert np.abs(expected).max() > 100
    np.testing.assert_array_equal(preprocess(image), expected)
    assert not model.get_layer("preprocess").trainable_weights
    assert model(image).dtype == tf.float32
    assert model.get_layer("decoder1_conv").compute_dtype == precision


def test_pretrained_encoder_computes_what_vgg16_computes(pretrained, vgg16):
    image = random_images(2, 32, 48)
    name = "block5_conv3"
    ours = keras.Model(pretrained.input, pretrained.get_layer(name).output)(image)
    reference = keras.Model(vgg16.input, vgg16.get_layer(name).output)(
        keras.applications.vgg16.preprocess_input(image * np.float32(255))
    )
    np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("frozen_blocks", range(6))
def test_frozen_blocks_are_the_first_ones(pretrained, frozen_blocks):
    unet.freeze_encoder(pretrained, frozen_blocks)
    trainable = {layer.name for layer in pretrained.layers if layer.trainable_weights}
    for block in range(1, 6):
        assert (f"block{block}_conv1" in trainable) == (block > frozen_blocks)
        assert (f"block{block}_conv2" in trainable) == (block > frozen_blocks)
    assert "preprocess" not in trainable and "decoder4_conv" in trainable
    unet.freeze_encoder(pretrained, 4)


def test_a_step_moves_the_trainable_and_only_the_trainable(pretrained):
    model = keras.models.clone_model(pretrained)
    model.set_weights(pretrained.get_weights())
    assert {v.path for v in model.trainable_variables} == {
        v.path for v in pretrained.trainable_variables
    }
    before = {v.path: np.array(v) for v in model.variables}  # BatchNorm's averages too
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(random_images(2, 32, 32), np.zeros((2, 32, 32), "int32"))
    frozen = ("preprocess", "block1", "block2", "block3", "block4")
    for variable in model.variables:
        moved = not np.array_equal(before[variable.path], variable)
        assert moved != variable.path.startswith(frozen), variable.path


@pytest.mark.parametrize(
    ("image_size", "shape"),
    [
        (64, (64, 64)),
        ((32, 48), (32, 48)),
        (None, (None, None)),
        (np.int32(32), (32, 32)),
        ((np.int64(32), np.uint8(48)), (32, 48)),
    ],
)
def test_image_size(image_size, shape, narrow):
    model = build_unet(image_size=image_size, encoder_weights=None, frozen_blocks=0)
    assert model.input_shape == (None, *shape, 3)
    assert model.output_shape == (None, *shape, 4)
    height, width = (shape[0] or 48, shape[1] or 32)
    assert model(random_images(1, height, width)).shape == (1, height, width, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 100}, "multiple of 16: got 100. The nearest is 96."),
        ({"image_size": (480, 715)}, "got 715. The nearest is 720."),
        ({"image_size": 5}, "nearest is 16"),
        ({"image_size": (1, 2, 3)}, "int, .height, width. or None"),
        ({"image_size": 64.0}, "int, .height, width. or None"),
        ({"image_size": True}, "multiple of 16"),
        ({"encoder_weights": None, "frozen_blocks": 4}, "frozen_blocks=0"),
        ({"encoder": "resnet"}, "vgg16, efficientnet_lite0: got resnet"),
        ({"frozen_blocks": 6}, "0 to 5: got 6"),
        ({"num_classes": 1}, "2 or more"),
        ({"decoder_filters": (8, 8)}, "4 positive widths"),
        ({"encoder_weights": "/no/such/file.h5"}, "/no/such/file.h5 is not there"),
    ],
)
def test_wrong_arguments_name_the_rule_and_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_unet(**{"encoder_weights": "unused.h5", **arguments})


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_an_unreadable_weights_file_is_named(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="weights of vgg16.*broken.*Pass the file"):
        build_unet(image_size=32, encoder_weights=str(path))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.weights.h5"
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    other.save_weights(path)
    with pytest.raises(ValueError, match="no readable weights of vgg16"):
        build_unet(image_size=32, encoder_weights=str(path))


def test_a_failed_download_names_the_remedy(monkeypatch):
    def offline(*arguments, **options):
        raise Exception("URL fetch failure: no route to host")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(ValueError, match="no route.*Fetch https://.*pass the file's"):
        build_unet(image_size=32)


def test_imagenet_is_downloaded_once_and_used(monkeypatch, weights_file, vgg16):
    asked = []

    def get_file(name, url, **options):
        asked.append((name, url, options["file_hash"]))
        return weights_file

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    model = build_unet(image_size=32)
    assert len(asked) == 1
    assert asked[0][1].endswith(asked[0][0]) and "notop" in asked[0][0]
    for name in ("block1_conv1", "block5_conv3"):
        for ours, reference in zip(
            model.get_layer(name).weights, vgg16.get_layer(name).weights, strict=True
        ):
            np.testing.assert_array_equal(ours, reference)


def test_a_saved_model_loads_without_custom_objects(pretrained, tmp_path):
    path = tmp_path / "model.keras"
    pretrained.save(path)
    loaded = keras.models.load_model(path)
    image = random_images(1, 32, 32)
    np.testing.assert_array_equal(loaded(image), pretrained(image))
    assert len(loaded.trainable_weights) == len(pretrained.trainable_weights)


def test_synchronization_is_in_force_but_not_in_the_file(tmp_path, narrow):
    model = build_unet(
        image_size=32,
        encoder_weights=None,
        frozen_blocks=0,
        decoder_filters=(8, 8, 8, 8),
        synchronized_batch_norm=True,
    )
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    image = random_images(1, 32, 32)
    np.testing.assert_array_equal(loaded(image), model(image))
    names = [f"decoder{level}_norm" for level in (1, 2, 3, 4)]
    assert all(model.get_layer(name).synchronized for name in names)
    assert not any(loaded.get_layer(name).synchronized for name in names)
    unet.synchronize_batch_norm(loaded)
    assert all(loaded.get_layer(name).synchronized for name in names)


def test_normalized_skips_reach_the_decoder_at_size_one(weights_file):
    model = build_unet(image_size=32, encoder_weights=weights_file)
    names = [f"decoder{level}_skip_norm" for level in (4, 3, 2, 1)]
    outputs = [model.get_layer(name).output for name in names]
    for skip in keras.Model(model.input, outputs)(
        random_images(2, 32, 32), training=True
    ):
        assert np.std(skip) == pytest.approx(1.0, abs=0.1)
    assert all(model.get_layer(name).trainable_weights for name in names)


def test_random_features_are_of_size_one():
    model = build_unet(4, 64, None, 0)
    skips = [model.get_layer(f"block{b}_pool").input for b in range(1, 5)]
    image = np.random.default_rng(0).uniform(size=(1, 64, 64, 3)).astype("float32")
    for features in keras.Model(model.input, skips)(image):
        assert 0.2 < np.sqrt(np.mean(np.square(features))) < 5


@pytest.mark.skipif(
    "LUNAR_VGG16_WEIGHTS" not in os.environ,
    reason="set LUNAR_VGG16_WEIGHTS to a VGG16 file without top",
)
def test_real_weights_respond_to_an_edge_and_not_to_a_flat_image():
    path = pathlib.Path(os.environ["LUNAR_VGG16_WEIGHTS"])
    model = build_unet(image_size=64, encoder_weights=path)
    image = np.zeros((2, 64, 64, 3), "float32")
    image[1, :, 32:] = 1.0
    features = keras.Model(model.input, model.get_layer("block1_conv2").output)(image)
    flat, edge = np.asarray(features)[:, 8:56, 8:56].std(axis=(1, 2)).max(axis=-1)
    assert flat < 1e-3 * edge
