"""The benchmark's output, and that its contestants do the same work."""

import json
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lunar_tfds import command_line
from pipeline import augmentation, benchmark, benchmark_alternatives

NAMES = {
    "python_generator",
    "tf_data_naive",
    "ours_uncached",
    "ours_cached",
    "ours_cached_all",
    "decode_only",
    "warp_only",
}


def test_the_json_holds_each_contestant_with_its_figures(tmp_path, monkeypatch, capsys):
    # Without the packages of the extra, whose start takes longer than all of the rest.
    for package in ("torch", "cv2", "albumentations"):
        monkeypatch.setitem(sys.modules, package, None)
    flags = ["--frames=8", "--rounds=1", "--seconds=0.1", "--image_size=64"]
    argv = ["benchmark", *flags, f"--json={tmp_path}/bench.json"]
    assert command_line.run(benchmark.Benchmark, benchmark.main, argv) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "bench.json").read_text())
    assert NAMES <= {result["name"] for result in results}
    for result in results:
        assert set(result) == {"name", "examples_per_s", "cpu_ms_per_example"}
        assert result["examples_per_s"] > 0 and result["cpu_ms_per_example"] > 0
    for name in NAMES:
        assert name in printed
    assert "ours_cached / python_generator" in printed


def test_the_stock_pipeline_decodes_one_mask_in_every_epoch(tiny_data_dir, monkeypatch):
    builder = tfds.builder("lunar_rocks", data_dir=tiny_data_dir)
    read = []
    real = builder.as_dataset

    def spy(**settings):
        read.append(real(**settings))
        return read[-1]

    monkeypatch.setattr(builder, "as_dataset", spy)
    dataset = benchmark.naive(builder, "train", 32)
    assert set(read[0].element_spec) == {"image", "ground_mask"}
    assert b"CacheDataset" not in dataset._as_serialized_graph().numpy()
    images, ids = next(iter(dataset))
    assert images.shape == (8, 32, 32, 3) and ids.shape == (8, 32, 32, 1)


def test_albumentations_scales_both_axes_alike():
    pytest.importorskip("albumentations")
    off = dict.fromkeys(vars(augmentation.Augmentation()), 0.0)
    other = benchmark_alternatives.FolderDataset([], 64, off | {"scale": 0.5})
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:48, 16:48] = 255
    for _ in range(8):
        done = other._transform(image=image, mask=image[..., 0])
        rows, columns = (np.ptp(places) for places in np.nonzero(done["mask"]))
        assert abs(rows - columns) <= 1


def test_the_best_rival_is_the_one_that_counts():
    rates = {
        "python_generator": 10.0,
        "ours_uncached": 60.0,
        "ours_cached": 240.0,
        "decode_only": 80.0,
        "tf_data_naive": 8.0,
        "grain_albumentations": 30.0,
        "dataloader_kornia": 20.0,
    }
    results = [{"name": n, "examples_per_s": rate} for n, rate in rates.items()]
    assert benchmark.bars(results).splitlines() == [
        "ours_cached / python_generator: 24.00 (wanted: 12.0)",
        "ours_cached / grain_albumentations: 8.00 (wanted: 6.0)",
        "ours_uncached / grain_albumentations: 2.00 (wanted: 1.0)",
        "ours_uncached / decode_only: 0.75 (wanted: 0.65)",
    ]
