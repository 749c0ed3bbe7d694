import concurrent.futures
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from lunar_tfds import palette
from model.inference.predictor import Predictor
from model.inference.tiling import blend_window, tile_starts
from model.network.checkpoints import save_model
from pipeline.resize import resize_image
from tests.support import stand_in, tiny_frames


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=64, blur=3)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return [tiny_frames.draw_frame(rng)[0] for _ in range(3)]


def reference(checkpoint, image, size):
    """The path, step by step: resize, network, softmax, resize back."""
    model = keras.models.load_model(checkpoint)
    logits = model(resize_image(image, 64)[None])
    probabilities = keras.ops.softmax(logits)[0]
    return keras.ops.image.resize(probabilities, size, antialias=False).numpy()


def test_probabilities_come_back_at_the_images_own_size(checkpoint, frames):
    prediction = Predictor(checkpoint)(frames[0])
    expected = reference(checkpoint, frames[0], (480, 720))
    assert prediction.mask.shape == (480, 720) and prediction.mask.dtype == np.uint8
    assert prediction.probabilities.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(prediction.mask, expected.argmax(-1))
    assert {*np.unique(prediction.mask)} >= {palette.GROUND, palette.SKY}


def test_a_size_may_be_asked_for(checkpoint, frames):
    predictor = Predictor(checkpoint)
    expected = reference(checkpoint, frames[0], (100, 90))
    for prediction in (
        predictor(frames[0], sizes=(100, 90)),
        predictor(frames[:1], sizes=[(100, 90)])[0],
    ):
        np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)


def test_a_result_does_not_depend_on_its_company(checkpoint, frames):
    frames = [*frames, frames[0][:99, :301]]
    batched = Predictor(checkpoint, batch_size=3)
    together = batched(frames)
    for frame, expected in zip(frames, together, strict=True):
        alone = batched(frame)
        np.testing.assert_array_equal(alone.mask, expected.mask)
        np.testing.assert_array_equal(alone.probabilities, expected.probabilities)
        assert alone.mask.shape == frame.shape[:2]


@pytest.mark.parametrize("tile", [False, True])
def test_each_prediction_is_made_when_it_is_asked_for(checkpoint, frames, tile):
    predictor = Predictor(checkpoint, batch_size=2, tile=tile)
    expected = predictor(frames)
    read = []
    images = (read.append(n) or frame for n, frame in enumerate(frames))
    predictions = predictor.predict_each(images)
    assert read == []
    alive = []
    for number, wanted in enumerate(expected):
        prediction = next(predictions)
        np.testing.assert_array_equal(prediction.probabilities, wanted.probabilities)
        assert len(read) == (number + 1 if tile else [2, 2, 3][number])
        # Nobody else keeps the gigabyte that a large photo's probabilities take.
        alive.append(weakref.ref(prediction.probabilities))
        del prediction
        assert [ref() for ref in alive] == [None] * len(alive)


def test_images_and_sizes_are_as_many(checkpoint, frames):
    with pytest.raises(ValueError, match="shorter"):
        Predictor(checkpoint)(frames, sizes=[(100, 90)])


def test_calls_from_many_threads_agree(checkpoint, frames):
    predictor = Predictor(checkpoint, batch_size=2, tta=True)
    expected = [predictor(frame) for frame in frames]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(predictor, frames * 4))
    for index, result in enumerate(results):
        np.testing.assert_array_equal(
            result.probabilities, expected[index % 3].probabilities
        )


def test_paths_are_read(checkpoint, frames, tmp_path):
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    predictor = Predictor(checkpoint)
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(predictor(path).mask, predictor(frames[0]).mask)


def test_augmented_predictions_of_a_mirrored_image_are_mirrored(checkpoint, frames):
    predictor = Predictor(checkpoint, tta=True)
    # Of a size that each scale's resize treats alike from both sides.
    image = frames[0][100:292, 100:292]
    straight = predictor(image).probabilities
    mirrored = predictor(image[:, ::-1]).probabilities
    np.testing.assert_allclose(straight, mirrored[:, ::-1], atol=1e-5)
    plain = Predictor(checkpoint)(image).probabilities
    assert np.abs(straight - plain).max() > 0.01
    np.testing.assert_allclose(straight.sum(-1), 1, atol=1e-5)


def test_tta_is_the_mean_over_scales_and_mirrors(checkpoint, frames):
    predictor = Predictor(checkpoint, tta=True)
    model = keras.models.load_model(checkpoint)
    assert [size for size, _ in predictor.networks] == [48, 64, 80]
    views = []
    for size in (48, 64, 80):
        inputs = resize_image(frames[0], size).numpy()
        dynamic = keras.models.clone_model(
            model, input_tensors=keras.Input((None, None, 3))
        )
        dynamic.set_weights(model.get_weights())
        for flip in (1, -1):
            probabilities = keras.ops.softmax(dynamic(inputs[None, :, ::flip]))[0]
            views.append(
                keras.ops.image.resize(
                    probabilities[:, ::flip], (480, 720), antialias=False
                )
            )
    np.testing.assert_allclose(
        predictor(frames[0]).probabilities, np.mean(views, axis=0), atol=1e-5
    )


def test_uncertainty(checkpoint, frames):
    uncertainty = Predictor(checkpoint)(frames[0]).uncertainty
    assert uncertainty.shape == (480, 720) and uncertainty.dtype == np.float32
    assert 0 <= uncertainty.min() < 0.05 < uncertainty.max() <= 1


@pytest.mark.parametrize("length", [720, 721, 1300, 1440, 5000])
def test_tiles_cover_a_side_and_overlap(length):
    starts = tile_starts(length, 720)
    assert starts[0] == 0 and starts[-1] == length - 720
    assert all(b - a <= 540 for a, b in zip(starts, starts[1:], strict=False))


def test_tiling_a_frame_changes_nothing(checkpoint, frames):
    plain, tiled = Predictor(checkpoint), Predictor(checkpoint, tile=True)
    np.testing.assert_array_equal(
        plain(frames[0]).probabilities, tiled(frames[0]).probabilities
    )


def test_tiles_are_blended_without_seams(tmp_path):
    # A slow ramp of greys: the classes' borders are straight lines in the truth.
    ramp = np.broadcast_to(np.linspace(0, 255, 2000)[:, None], (2000, 1500))
    image = np.repeat(ramp[..., None], 3, -1).astype(np.uint8)
    predictor = Predictor(
        stand_in.save(tmp_path / "a.keras", size=64), tile=True, batch_size=4
    )
    prediction = predictor(image)
    assert prediction.mask.shape == (2000, 1500)
    # Each tile alone gives the same ramp, so the rows of the whole are constant.
    spread = np.ptp(prediction.probabilities, axis=1)
    assert spread.max() < 1e-3
    jumps = np.abs(np.diff(prediction.probabilities, axis=0))
    assert jumps.max() < 0.05
    assert set(prediction.mask.ravel()) == {0, 1, 2, 3}


def test_tiles_see_detail_that_one_view_of_a_large_photo_loses(tmp_path):
    checkpoint = stand_in.save(tmp_path / "a.keras", size=128)
    rng = np.random.default_rng(0)
    frame = tiny_frames.draw_frame(rng, sky=False, num_small=30, num_large=0)[0]
    photo = np.tile(frame, (3, 3, 1))
    truth = np.abs(photo[..., 0].astype(int) - 60) < 5
    whole, tiled = (
        (Predictor(checkpoint, tile=tile)(photo).mask == palette.SMALL_ROCK)[truth]
        for tile in (False, True)
    )
    assert tiled.mean() > 0.85 > whole.mean() + 0.2


def test_a_window_is_highest_inside_and_positive():
    window = blend_window(48, 72)
    assert window.shape == (48, 72) and window.min() > 0
    assert window[24, 36] > 0.99 and window[0, 0] < 0.01


def test_a_network_may_be_replaced(checkpoint, frames):
    def sky_everywhere(images):
        assert images.shape == (2, 64, 64, 3)
        return np.eye(4, dtype=np.float32)[np.full(images.shape[:3], palette.SKY)]

    predictor = Predictor(checkpoint, network=sky_everywhere, batch_size=2)
    assert (predictor(frames[0]).mask == palette.SKY).all()
    with pytest.raises(ValueError, match="tta"):
        Predictor(checkpoint, network=sky_everywhere, tta=True)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), "u1"),
        np.zeros((0, 4, 3), "u1"),
    ],
)
def test_wrong_arrays_say_what_is_wanted(checkpoint, image):
    with pytest.raises(ValueError, match="an image must"):
        Predictor(checkpoint)(image)


def test_checkpoints_of_other_classes_or_models_are_refused(tmp_path, checkpoint):
    names = ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="made with the classes a, b, c, d"):
        Predictor(stand_in.save(tmp_path / "o.keras", class_names=names))
    details = {"image_size": 96, "mask": "ground"}
    details["class_names"] = list(palette.CLASS_NAMES)
    save_model(stand_in.build(64), tmp_path / "s.keras", details)
    with pytest.raises(ValueError, match="another model"):
        Predictor(tmp_path / "s.keras")
    data = checkpoint.read_bytes()
    (tmp_path / "t.keras").write_bytes(data[: len(data) // 2])
    for path, message in (("t.keras", "truncated"), ("none.keras", "no")):
        with pytest.raises(ValueError, match=message):
            Predictor(tmp_path / path)


def test_the_real_network_sees_every_scale_with_its_own_weights(tmp_path, frames):
    from model.network.unet import build_unet

    options = {"encoder_weights": None, "frozen_blocks": 0}
    options["decoder_filters"] = (8, 8, 8, 8)
    model = build_unet(image_size=64, **options)
    details = {"image_size": 64, "mask": "clean"}
    details["class_names"] = list(palette.CLASS_NAMES)
    save_model(model, tmp_path / "a.keras", details)
    predictor = Predictor(tmp_path / "a.keras", tta=True)
    assert predictor.mask_kind == "clean"
    # The same weights in a network built for any size.
    dynamic = build_unet(image_size=None, **options)
    dynamic.set_weights(model.get_weights())
    for size, network in predictor.networks:
        inputs = resize_image(frames[0], size)[None]
        expected = keras.ops.softmax(dynamic(inputs))
        np.testing.assert_allclose(network(inputs), expected, atol=1e-5)
    assert predictor(frames[0]).mask.shape == (480, 720)


@pytest.mark.parametrize("tta", [False, True])
def test_probabilities_are_those_of_one_resize_to_the_bit(checkpoint, frames, tta):
    predictor = Predictor(checkpoint, tta=tta)
    size = (301, 433)
    (views,) = predictor._views([frames[0]])
    resized = [tf.image.resize(view, size, antialias=False).numpy() for view in views]
    total = resized[0]
    for other in resized[1:]:
        total = total + other
    expected = total / np.float32(len(views)) if tta else total
    prediction = predictor(frames[0], size)
    np.testing.assert_array_equal(prediction.probabilities, expected)
    np.testing.assert_array_equal(prediction.mask, expected.argmax(-1))


def test_a_pillow_image_is_segmented_like_its_file(checkpoint, frames, tmp_path):
    predictor = Predictor(checkpoint)
    image = Image.fromarray(frames[0])
    image.save(tmp_path / "a.png")
    expected = predictor(tmp_path / "a.png").mask
    np.testing.assert_array_equal(predictor(image).mask, expected)
    pair = predictor([image, image.convert("RGBA")])
    for prediction in pair:
        np.testing.assert_array_equal(prediction.mask, expected)
    grey = Image.fromarray(frames[0]).convert("L")
    assert predictor(grey).mask.shape == expected.shape


def test_no_checkpoint_means_the_starter(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise ValueError("asked")

    monkeypatch.setattr("model.inference.predictor.load_checkpoint", load)
    for arguments in ((), (None,)):
        with pytest.raises(ValueError, match="asked"):
            Predictor(*arguments)
    assert asked == ["starter", "starter"]
