"""Checks what is measured of pictures, and how far apart two sets are said to be."""

import numpy as np
import pytest
from PIL import Image

from lunar_tfds import command_line, compare, palette
from tests.support import tiny_frames

RUN = compare.Comparison, compare.main


@pytest.fixture
def frame():
    """Returns (image, ids), 720x480: sky above row 120, a small and a large rock."""
    image = np.full((480, 720, 3), 100, np.uint8)
    ids = np.zeros((480, 720), np.uint8)
    image[:120], ids[:120] = 0, palette.SKY
    image[150:160, 100:120], ids[150:160, 100:120] = 130, palette.SMALL_ROCK
    image[400:460, 300:400], ids[400:460, 300:400] = 10, palette.LARGE_ROCK
    ids[300, 300:303] = palette.SMALL_ROCK  # Too small to count.
    return image, ids


def test_each_quantity_is_what_it_says(frame):
    found = compare.measure(*frame)
    assert set(found) <= set(compare.QUANTITIES)
    assert found["small rocks a frame"] == found["large rocks a frame"] == [1]
    area = {"small": 200, "large": 6000}
    for name, pixels in area.items():
        diameter = 2 * np.sqrt(pixels / np.pi)
        assert found[f"diameter of {name} rocks"] == [pytest.approx(diameter)]
    assert found["diameter in the top quarter"] == found["diameter of small rocks"]
    assert found["diameter in the bottom quarter"] == found["diameter of large rocks"]
    down = found["place below the horizon"]
    assert down == [pytest.approx(35 / 360), pytest.approx(310 / 360)]
    assert found["small rock minus ground"] == [pytest.approx(30)]
    assert found["large rock minus ground"] == [pytest.approx(-90)]
    assert found["black share of rocks"] == [pytest.approx(6000 / 6203, abs=1e-3)]
    assert found["black share of ground"] == [0]
    assert found["spread of ground, p10 to p90"] == [0]
    assert found["height of the horizon"] == [pytest.approx(0.75)]
    assert found["share of sky"] == [pytest.approx(0.25)]


def test_sizes_do_not_depend_on_the_resolution(frame):
    image, ids = (np.repeat(np.repeat(a, 2, 0), 2, 1) for a in frame)
    whole, double = compare.measure(*frame), compare.measure(image, ids)
    for name in ("diameter of large rocks", "height of the horizon", "share of sky"):
        assert double[name] == pytest.approx(whole[name], rel=0.01)


def test_without_mask_sky_or_rocks_the_rest_is_measured(frame):
    image, ids = frame
    assert set(compare.measure(image, None)) == {
        *("black share of ground", "grey level of ground", "grain of ground"),
        "spread of ground, p10 to p90",
    }
    flat = compare.measure(image, np.zeros_like(ids))
    assert flat["height of the horizon"] == [1]
    assert flat["small rocks a frame"] == [0]
    assert "diameter of small rocks" not in flat
    assert "grain of ground" not in compare.measure(image * 0, ids)
    compare.measure(image, np.full_like(ids, palette.SKY))
    compare.measure(image[:1, :1], ids[:1, :1])


def test_the_distance_is_in_deviations():
    values = np.random.default_rng(0).normal(0, 1, 1000)
    assert compare.distance(list(values), list(values)) == 0
    assert compare.distance([5.0], [5.0]) == 0
    apart = compare.distance(list(values), list(values + 1))
    assert apart == pytest.approx(1 / np.sqrt(1.25), rel=0.05)


def test_the_command_compares_folders_of_every_kind(tmp_path, capsys):
    tiny_frames.write_kaggle_folder(tmp_path / "kaggle")
    (tmp_path / "mine").mkdir()
    for number, size in enumerate(((30, 20), (64, 64))):
        picture = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "mine" / f"{number}.jpg")
    figure = tmp_path / "figure.png"
    photos = tmp_path / "kaggle" / "real_moon_images"
    joined = f"{photos},{tmp_path / 'kaggle'}"
    sets = [str(tmp_path / "kaggle"), str(photos), joined, str(tmp_path / "mine")]
    assert command_line.run(*RUN, ["compare", *sets, f"--output={figure}"]) == 0
    table = capsys.readouterr().out
    shares = next(line for line in table.splitlines() if "share of sky" in line)
    assert shares.split()[-1] == "absent"  # The last set has no masks.
    grey = next(x for x in table.splitlines() if x.startswith("grey level"))
    assert "absent" not in grey
    with Image.open(figure) as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], "name one folder or more"),
        (["{0}/none"], "none must be a folder"),
        (["{0}/empty"], "empty holds no picture"),
        (["{0}/broken"], "a.png cannot be read as a picture"),
    ],
)
def test_bad_sets_are_named(tmp_path, caplog, sets, message):
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    sets = [s.format(tmp_path) for s in sets]
    assert command_line.run(*RUN, ["compare", *sets]) == 1
    assert message in caplog.messages[-1]
