"""Order, determinism, resumption, sharding, padding, filters and caches."""

import dataclasses
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds import opening
from pipeline import batching, execution, order, pixels, protocols, records
from pipeline import cache as caches
from pipeline.augmentation import Augmentation
from pipeline.batching import Batches, Position, Reading, Selection
from pipeline.resize import resize_image

SMALL = Batches(image_size=32, global_batch_size=4)
KINDS = (Selection, Batches, Position, Reading)


@pytest.fixture(scope="module")
def builder(tiny_data_dir):
    return tfds.builder("lunar_rocks", data_dir=tiny_data_dir)


def names(kind):
    return {field.name for field in dataclasses.fields(kind)}


def parts(split, settings):
    """Returns settings by name as what the datasets take, and the rest."""
    settings = {"split": split, **dataclasses.asdict(SMALL), **settings}
    found = [
        kind(**{name: settings.pop(name) for name in names(kind) & settings.keys()})
        for kind in KINDS
    ]
    return found, settings


def training_dataset(builder, **settings):
    (selection, batches, position, reading), rest = parts("train", settings)
    return batching.training_dataset(
        builder, selection, batches, position, reading=reading, **rest
    )


def evaluation_dataset(builder, split="validation", **settings):
    (selection, batches, _, reading), rest = parts(split, settings)
    return batching.evaluation_dataset(
        builder, selection, batches, reading=reading, **rest
    )


def example_dataset(builder, split, **settings):
    return batching.example_dataset(builder, Selection(split, **settings))


def training(builder, steps, **settings):
    dataset = training_dataset(builder, **settings)
    return [(i.numpy(), m.numpy()) for i, m in dataset.take(steps)]


def assert_same(one, other):
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


def context(worker, workers, replicas):
    return tf.distribute.InputContext(workers, worker, replicas)


def frames_of(builder, batches, split="train"):
    """Returns the number of the frame that each unaugmented image shows, by batch."""
    known = [
        resize_image(example["image"], 32).numpy()
        for example in example_dataset(builder, split)
    ]
    return [
        [int(np.argmin([np.abs(k - image).max() for k in known])) for image in batch[0]]
        for batch in batches
    ]


def test_shapes_are_static_and_values_in_range(builder):
    dataset = training_dataset(builder)
    image, mask = dataset.element_spec
    assert image == tf.TensorSpec([4, 32, 32, 3], tf.float32)
    assert mask == tf.TensorSpec([4, 32, 32], tf.int32)
    for image, mask in dataset.take(2):
        assert 0 <= tf.reduce_min(image) < tf.reduce_max(image) <= 1
        assert set(np.unique(mask)) <= {0, 1, 2, 3}


def test_an_epoch_is_a_permutation_and_the_next_one_another(builder):
    batches = training(builder, 8, augmentation=None)
    epochs = [sum(frames_of(builder, batches[s : s + 4]), []) for s in (0, 4)]
    for epoch in epochs:  # 18 examples: 4 batches of 4, 2 left out.
        assert len(set(epoch)) == 16
    assert epochs[0] != epochs[1]
    orders = [order.permutation(18, 0, e).numpy().tolist() for e in range(9)]
    assert all(sorted(o) == list(range(18)) for o in orders)
    assert len({frozenset(o[16:]) for o in orders}) > 1  # Others are left out.


def test_the_same_seed_gives_the_same_batches_and_another_does_not(builder):
    first = training(builder, 6, seed=3)
    assert_same(first, training(builder, 6, seed=3))
    assert not np.array_equal(first[0][0], training(builder, 1, seed=4)[0][0])


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_the_number_of_cores_changes_no_bit(builder, monkeypatch, cache):
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(execution, "num_cores", lambda cores=cores: cores)
        strength = Augmentation(gamma=0.2, noise=0.02)
        batches = training(builder, 6, cache=cache, augmentation=strength)
        scored = evaluation_dataset(builder, "train")
        found.append(batches + [[t.numpy() for t in batch] for batch in scored])
    assert_same(*found)


def test_augmentations_differ_between_epochs(builder):
    # One example a step: its first and second epoch show it changed differently.
    settings = {"split": "train[:1]", "global_batch_size": 1}
    first, second = training(builder, 2, **settings)
    assert np.abs(first[0] - second[0]).max() > 0.1


@pytest.fixture(scope="module")
def whole(builder):
    """Returns the first three epochs, 12 steps, of a run with seed 5."""
    return training(builder, 12, seed=5)


@pytest.mark.parametrize("start", [(0, 3), (1, 0), (1, 2), (2, 1)])
def test_starting_anywhere_equals_the_uninterrupted_run(builder, whole, start):
    epoch, step = start
    resumed = training(builder, 3, seed=5, epoch=epoch, step=step)
    assert_same(resumed, whole[epoch * 4 + step :][:3])


def test_starting_late_reads_nothing_before(builder, monkeypatch, tmp_path):
    path, real = tmp_path / "read.txt", records.Examples.read

    def counting(self, number):
        tf.print(number, output_stream=f"file://{path}")
        return real(self, number)

    # One core reads one example ahead of each batch that waits.
    monkeypatch.setattr(execution, "num_cores", lambda: 1)
    monkeypatch.setattr(records.Examples, "read", counting)
    dataset = training_dataset(builder, epoch=50, step=1)
    path.unlink(missing_ok=True)  # The first example told the shapes.
    next(iter(dataset))
    read = [int(number) for number in path.read_text().split()]
    orders = [order.permutation(18, 0, epoch).numpy() for epoch in (50, 51, 52)]
    coming = np.concatenate([numbers[:16] for numbers in orders])[4:].tolist()
    # What is asked for, then what waits: the batches ready and the one under way.
    assert read == coming[: len(read)]
    assert 4 <= len(read) <= 4 * (2 + execution.READY) + 1


def test_uncompiled_gives_the_same(builder):
    for (image, mask), (plain, plain_mask) in zip(
        training(builder, 3), training(builder, 3, xla=False), strict=True
    ):
        np.testing.assert_allclose(image, plain, atol=1e-5)
        np.testing.assert_array_equal(mask, plain_mask)


def test_evaluation_shows_resize_image_and_each_example_once(builder):
    dataset = evaluation_dataset(builder, "train")
    examples = list(example_dataset(builder, "train"))
    batches = list(dataset)
    assert len(batches) == 5
    images, masks, weights = (np.concatenate(t) for t in zip(*batches, strict=True))
    assert weights.tolist() == [1.0] * 18 + [0.0] * 2
    for example, image, mask in zip(examples, images, masks, strict=False):
        np.testing.assert_allclose(image, resize_image(example["image"], 32), atol=1e-6)
        np.testing.assert_array_equal(
            mask, example["mask"].numpy()[np.ix_(*centres(example["mask"].shape, 32))]
        )


def centres(shape, size):
    return [((np.arange(size) + 0.5) / size * length).astype(int) for length in shape]


def test_real_photos_of_any_size_are_evaluated(builder):
    ((image, mask, weight),) = evaluation_dataset(builder, "real")
    assert image.shape == (4, 32, 32, 3) and mask.shape == (4, 32, 32)
    assert weight.numpy().tolist() == [1, 1, 0, 0]
    example = list(example_dataset(builder, "real"))[1]
    np.testing.assert_allclose(image[1], resize_image(example["image"], 32), atol=1e-6)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_photos_are_trained_on_alone_and_beside_renders(builder, cache):
    settings = {"augmentation": None, "cache": cache}
    # They look as evaluation shows them, but for the resize to a frame's size.
    batch = training(builder, 1, split="real", global_batch_size=2, **settings)[0]
    images, masks, _ = next(iter(evaluation_dataset(builder, "real")))
    for image, mask in zip(*batch, strict=True):
        errors = [np.abs(image - other).mean() for other in images[:2]]
        nearest = int(np.argmin(errors))
        assert errors[nearest] < 0.02 < errors[1 - nearest]
        assert (mask == masks[nearest].numpy()).mean() > 0.95
    both = training(builder, 5, split="train+real", **settings)
    assert len({image.tobytes() for images, _ in both for image in images}) == 20
    training(builder, 1, split="real", global_batch_size=2)  # With augmentation.


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_replicas_together_make_the_same_global_batch(
    builder, whole, workers
):
    replicas, local = 4, 4 // workers
    shares = [
        training(
            builder, 3 * local, seed=5, input_context=context(w, workers, replicas)
        )
        for w in range(workers)
    ]
    for step, batch in enumerate(whole[:3]):
        parts = [p for s in shares for p in s[step * local : (step + 1) * local]]
        joined = [np.concatenate(t) for t in zip(*parts, strict=True)]
        assert_same([joined], [batch])


def test_evaluation_shares_hold_each_example_once(builder):
    def share(worker):
        return list(
            evaluation_dataset(builder, "train", input_context=context(worker, 2, 4))
        )

    shares = [share(0), share(1)]
    assert len(shares[0]) == len(shares[1]) == 10
    images = np.concatenate([i[w > 0] for s in shares for i, _, w in s])
    whole = evaluation_dataset(builder, "train")
    expected = np.concatenate([i[w > 0] for i, _, w in whole])
    assert len(images) == 18
    assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in expected)


MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from pipeline.batching import Batches, Selection, evaluation_dataset, training_dataset

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
builder = tfds.builder("lunar_rocks", data_dir=sys.argv[1])
batches = Batches(image_size=32, global_batch_size=4)
train = Selection("train")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
"""
MIRRORED_TRAINING = """
iterator = iter(strategy.distribute_datasets_from_function(
    lambda c: training_dataset(builder, train, batches, input_context=c)))
for batch in training_dataset(builder, train, batches).take(2):
    for shared, whole in zip(next(iterator), batch):
        parts = strategy.experimental_local_results(shared)
        assert [len(p) for p in parts] == [2, 2]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
"""
# 18 examples: of the fifth global batch, each replica's second half is padding.
MIRRORED_EVALUATION = """
distributed = strategy.distribute_datasets_from_function(
    lambda c: evaluation_dataset(builder, train, batches, input_context=c))
found, count = [], 0
for shared in distributed:
    count += 1
    for image, mask, weight in zip(*map(strategy.experimental_local_results, shared)):
        assert image.shape == (2, 32, 32, 3) and mask.shape == (2, 32, 32)
        found += zip(image.numpy(), mask.numpy(), weight.numpy())
assert count == 5 and sum(weight == 0 for _, _, weight in found) == 2
found = [(i.tobytes(), m.tobytes()) for i, m, weight in found if weight == 1]
expected = []
for images, masks, weights in evaluation_dataset(builder, train, batches):
    expected += zip(images.numpy(), masks.numpy(), weights.numpy())
expected = [(i.tobytes(), m.tobytes()) for i, m, weight in expected if weight == 1]
assert len(set(found)) == 18 and found == expected
"""


def test_mirrored_strategy_gets_the_global_batch(tiny_data_dir):
    # In a process of its own: devices are divided before TensorFlow first runs.
    code = MIRRORED + MIRRORED_TRAINING + MIRRORED_EVALUATION
    command = [sys.executable, "-c", code, str(tiny_data_dir)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"global_batch_size": 19}, "got 18 examples for global_batch_size 19"),
        ({"input_context": context(0, 1, 3)}, "got 4 for 3 replicas. Use 3 or 6"),
        ({"mask": "both"}, "--mask=both: value should be one of <ground.clean>"),
        ({"cache": "gpu"}, "--cache=gpu: value should be one of"),
        ({"cache": "disk"}, "needs --cache_dir"),
        ({"cache_dir": "c", "cache": "memory"}, "does nothing with --cache=memory"),
        ({"cache_channels": 1}, "--cache_channels=1 needs a cache"),
        ({"cache_channels": 2}, "--cache_channels=2: value should be one of <1.3>"),
        ({"step": -1}, "--step=-1: must be 0 or more"),
        ({"split": "holdout"}, "no split 'holdout'"),
        (
            {"split": "train+tset"},
            "no split 'tset': the dataset in .* has real, test, train",
        ),
        ({"split": "train[:10%"}, "'train.:10%' is no split expression"),
        ({"split": "train[x:]"}, "'train.x:.' is no split expression"),
        ({"exclude_defects": ["shadow"]}, "had no shadow_IDs.txt"),
        ({"exclude_defects": ["shadows"]}, "Unknown defect list 'shadows'"),
        ({"protocol": "mine"}, "--protocol=mine: value should be one of <lunarsite"),
        ({"protocol": "first8000", "split": "test"}, "got 'test'"),
        ({"protocol": "lunarsite"}, "needs all 9766 renders and 9742 are missing"),
        ({"cache": "memory", "data_service": "grpc://x"}, "use --cache=none with"),
    ],
)
def test_errors_name_the_rule_and_the_remedy(builder, settings, message):
    with pytest.raises(ValueError, match=message):
        training_dataset(builder, **settings)


def test_a_split_that_was_left_out_is_skipped_with_a_warning(
    builder, monkeypatch, caplog
):
    splits = {k: v for k, v in builder.info.splits.items() if k != "test"}
    kept = tfds.core.splits.SplitDict(splits.values())
    monkeypatch.setattr(type(builder.info), "splits", kept)
    assert opening.resolve_split(builder, "train+test") == "train"
    assert "test" in caplog.text
    with pytest.raises(ValueError, match="no split 'test', only"):
        opening.resolve_split(builder, "test")


# Filters and protocols.


@pytest.fixture(scope="module")
def listed(tiny_folder, tmp_path_factory):
    """Returns a builder whose source has a defect list: frames 3, 7 and 12."""
    import lunar_tfds

    folder = tmp_path_factory.mktemp("listed")
    for path in tiny_folder.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "shadow_IDs.txt").write_text("3\n7\n12\n")
    built = lunar_tfds.LunarRocks(data_dir=tmp_path_factory.mktemp("listed_tfds"))
    built.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
    return built


def ids_of(dataset):
    return sorted(int(e["frame_id"].numpy()) for e in dataset)


def test_defect_lists_leave_frames_out(listed):
    every = "train+validation+test"
    kept = example_dataset(listed, every, exclude_defects=["shadow"])
    assert ids_of(kept) == sorted(set(range(1, 25)) - {3, 7, 12})
    count = batching.num_examples(listed, Selection(every, exclude_defects=["shadow"]))
    assert count == 21


def test_lunarsite_is_its_own_permutation():
    shuffled = np.random.RandomState(42).permutation(9766)
    parts = [
        protocols.frame_ids("lunarsite", s) for s in ("train", "validation", "test")
    ]
    assert [len(p) for p in parts] == [7812, 976, 978]
    np.testing.assert_array_equal(np.concatenate(parts), shuffled + 1)
    parts = [protocols.frame_ids("first8000", s) for s in ("train", "validation")]
    assert parts[0].tolist() == list(range(1, 8001))
    assert parts[1].tolist() == list(range(8001, 9767))


def sizes_of(protocol, listed=()):
    names = ("train", "validation", "test")[: 2 if protocol == "capala" else 3]
    parts = [protocols.frame_ids(protocol, name, listed) for name in names]
    whole = np.sort(np.concatenate(parts))
    expected = np.setdiff1d(np.arange(1, 9767), listed)
    np.testing.assert_array_equal(whole, expected)
    return [len(part) for part in parts]


def test_the_splits_of_others_divide_all_frames_but_the_listed():
    assert sizes_of("marek") == [7766, 1000, 1000]
    assert sizes_of("seg_opt", range(1, 574)) == [7353, 920, 920]
    assert sizes_of("capala", range(1, 774)) == [7644, 1349]


def test_the_splits_of_others_are_as_they_publish_them():
    """The lists of defects are not here: what does not hang on them is compared."""
    # The ends of the lists in seg-opt's split_seed42.json: all 573 lie below.
    test = np.sort(protocols.frame_ids("seg_opt", "test", range(1, 574)))
    assert test[-3:].tolist() == [9756, 9760, 9765]
    # And its beginning, above which all lie.
    train = np.sort(protocols.frame_ids("seg_opt", "train", range(9000, 9573)))
    assert train[:2].tolist() == [1, 2]
    shuffled = list(range(1001, 9767))
    random.Random(1337).shuffle(shuffled)
    assert protocols.frame_ids("marek", "validation").tolist() == shuffled[-1000:]
    assert protocols.frame_ids("marek", "test").tolist() == list(range(1, 1001))
    order = np.random.RandomState(42).permutation(8993)
    validation = protocols.frame_ids("capala", "validation", range(1, 774))
    np.testing.assert_array_equal(validation, 774 + order[:1349])


def test_a_protocol_leaves_out_what_its_lists_name(listed, monkeypatch):
    monkeypatch.setattr(protocols, "NUM_RENDERS", 24)
    protocol = protocols.PROTOCOLS["seg_opt"]
    own = dataclasses.replace(protocol, without=("shadow",), num_listed=3)
    monkeypatch.setitem(protocols.PROTOCOLS, "seg_opt", own)
    found = []
    for name in ("train", "validation", "test"):
        part = ids_of(example_dataset(listed, name, protocol="seg_opt"))
        assert part == sorted(protocols.frame_ids("seg_opt", name, [3, 7, 12]))
        found += part
    assert sorted(found) == sorted(set(range(1, 25)) - {3, 7, 12})
    monkeypatch.setitem(protocols.PROTOCOLS, "seg_opt", protocol)
    with pytest.raises(ValueError, match="had no .*_IDs.txt"):
        example_dataset(listed, "train", protocol="seg_opt")
    own = dataclasses.replace(own, num_listed=573)
    monkeypatch.setitem(protocols.PROTOCOLS, "seg_opt", own)
    with pytest.raises(ValueError, match="leaves out 573 frames .* lists name 3"):
        example_dataset(listed, "train", protocol="seg_opt")


def test_a_protocol_chooses_from_all_splits_and_crops(builder, monkeypatch):
    monkeypatch.setattr(protocols, "NUM_RENDERS", 24)
    train = example_dataset(builder, "train", protocol="lunarsite")
    assert ids_of(train) == sorted(protocols.frame_ids("lunarsite", "train"))
    whole = {
        e["frame_id"].numpy(): e["image"].numpy()
        for e in example_dataset(builder, "train+validation+test")
    }
    for example in train:
        expected = whole[example["frame_id"].numpy()][:, 120:600]
        np.testing.assert_array_equal(example["image"], expected)
    image, mask = training(builder, 1, protocol="lunarsite")[0]
    assert image.shape == (4, 32, 32, 3) and mask.shape == (4, 32, 32)


# Caches.


@pytest.mark.parametrize("size", [32, 400])  # Pooled first, and not.
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_changes_no_pixel(builder, tmp_path, cache, size):
    settings = {"image_size": size, "global_batch_size": 2}
    cached = settings | {"cache": cache}
    if cache == "disk":
        cached["cache_dir"] = tmp_path
    plain = training(builder, 4, split="train[:4]", **settings)
    assert_same(training(builder, 4, split="train[:4]", **cached), plain)
    kept = evaluation_dataset(builder, **cached)
    read = evaluation_dataset(builder, **settings)
    assert_same(
        [[t.numpy() for t in b] for b in kept], [[t.numpy() for t in b] for b in read]
    )


def test_a_disk_cache_is_used_again_and_not_for_other_data(builder, listed, tmp_path):
    settings = {"cache": "disk", "cache_dir": tmp_path}
    training(builder, 1, **settings)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.pixels")}
    training(builder, 1, **settings)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.pixels")} == files
    for other in ({"mask": "clean"}, {"image_size": 64}, {"split": "train[:9]"}):
        before = len(list(tmp_path.glob("*.pixels")))
        training(builder, 1, **settings, **other)
        assert len(list(tmp_path.glob("*.pixels"))) > before
    before = len(list(tmp_path.glob("*.pixels")))
    training(listed, 1, **settings)  # The same shapes from another source.
    assert len(list(tmp_path.glob("*.pixels"))) > before


def _fill_and_hang(data_dir, cache_dir):
    built = tfds.builder("lunar_rocks", data_dir=data_dir)
    real = caches._fill

    def slow(arrays, source, count):
        real(arrays, source, count // 2)
        time.sleep(60)

    caches._fill = slow
    training_dataset(built, cache="disk", cache_dir=cache_dir)


def test_a_killed_writer_leaves_nothing_that_counts(builder, tiny_data_dir, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=_fill_and_hang, args=(tiny_data_dir, tmp_path))
    writer.start()
    deadline = time.time() + 60
    while not list(tmp_path.glob("*.partial")) and time.time() < deadline:
        time.sleep(0.1)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.pixels"))
    cached = training(builder, 5, cache="disk", cache_dir=tmp_path)
    assert_same(cached, training(builder, 5))
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_killed_writer_left_does_not_count_as_used(
    builder, tmp_path, monkeypatch
):
    """A disk that holds 1.5 caches, one of them left behind by a killed writer."""
    training(builder, 1, cache="disk", cache_dir=tmp_path)
    total = 1.5 * sum(path.stat().st_size for path in tmp_path.glob("*.pixels"))
    for path in tmp_path.glob("*.pixels"):
        path.rename(path.with_suffix(".partial"))

    def disk_usage(folder):
        used = sum(path.stat().st_size for path in folder.iterdir())
        return type("Usage", (), {"free": total - used})

    monkeypatch.setattr(caches.shutil, "disk_usage", disk_usage)
    training(builder, 1, cache="disk", cache_dir=tmp_path)
    assert list(tmp_path.glob("*.pixels"))


def test_a_cache_that_cannot_fit_is_refused_with_advice(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "available_memory", lambda: 1 << 20)
    with pytest.raises(ValueError, match="can be used of the.*Use cache='disk'"):
        training(builder, 1, cache="memory", image_size=48)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ValueError, match="has 0.00 GiB free"):
        training(builder, 1, cache="disk", cache_dir=tmp_path)
    monkeypatch.undo()
    assert caches.available_memory() > 1 << 28


def test_the_whole_dataset_needs_what_the_estimate_says(builder):
    source = pixels.Source(records.find(builder, Selection()), "ground", (512, 512))
    assert caches.bytes_needed(9766, source.specs) == 9766 * 720 * 480 * 5
    grey = pixels.Source(
        records.find(builder, Selection()), "ground", (512, 512), grey=True
    )
    assert caches.bytes_needed(9766, grey.specs) == 9766 * 720 * 480 * 2


def test_a_grey_cache_is_within_its_stated_error(builder):
    settings = {"split": "train[:4]", "augmentation": None, "image_size": 400}
    grey = training(builder, 1, cache="memory", cache_channels=1, **settings)
    exact = training(builder, 1, **settings)
    np.testing.assert_allclose(grey[0][0], exact[0][0], atol=3 / 255)
    np.testing.assert_array_equal(grey[0][1], exact[0][1])


def test_a_data_service_gives_the_same_batches(builder, data_service):
    settings = {"augmentation": Augmentation(noise=0.01), "seed": 2}
    served = training(builder, 6, data_service=data_service, **settings)
    assert_same(served, training(builder, 6, **settings))


def test_a_data_service_uses_the_cores_of_its_workers(
    builder, data_service, monkeypatch
):
    monkeypatch.setattr(execution, "num_cores", lambda: pytest.fail("counted here"))
    training(builder, 1, data_service=data_service)
    with pytest.raises(pytest.fail.Exception, match="counted here"):
        training(builder, 1)


def test_two_workers_of_a_data_service_do_not_mix_steps(builder):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    config = service.WorkerConfig(dispatcher_address=dispatcher.target.split("//")[1])
    workers = [service.WorkerServer(config) for _ in range(2)]
    settings = {"input_context": context(0, 1, 2), "augmentation": None}
    served = training(builder, 24, data_service=dispatcher.target, **settings)
    del workers
    # More epochs than two workers can have begun.
    orders = [order.permutation(18, 0, e).numpy().tolist() for e in range(200)]
    steps = [numbers[s : s + 4] for numbers in orders for s in (0, 4, 8, 12)]
    frames = frames_of(builder, served)
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        assert first + second in steps


def test_an_iterator_that_ends_does_not_wait_for_tuning(builder):
    dataset = training_dataset(builder)
    options = dataset.options()
    assert options.autotune.enabled is False and options.deterministic is True
