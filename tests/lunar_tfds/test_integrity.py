"""Damaged files are found before anything is written; the rest can be built."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import annotations, frame_files, picture_files
from tests.support import building, mutate_sources, tiny_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=5, num_photos=1)


@pytest.fixture(scope="module")
def picture(folder):
    """Returns the bytes of a real PNG file."""
    return (folder / "images/ground/ground0001.png").read_bytes()


def test_every_split_of_a_frame_is_frozen():
    ids = [str(number).zfill(4) for number in range(1, 9767)]
    splits = [frame_files.split_of(frame_id) for frame_id in ids]
    assert splits[:12] == (
        ["train"] * 2 + ["validation"] + ["train"] * 2 + ["test"] * 2 + ["train"] * 3
    ) + ["validation", "train"]
    sizes = [splits.count(name) for name in ("train", "validation", "test")]
    assert sizes == [7825, 1006, 935]
    assert zlib.crc32(" ".join(splits).encode()) == FROZEN_SPLITS


# zlib.crc32 of the splits of frames 0001 to 9766, joined by spaces. A change here is
# a new major version of the dataset.
FROZEN_SPLITS = 1839226701


@given(st.data())
@settings(max_examples=60)
def test_no_flipped_or_missing_byte_goes_unseen(picture, data):
    position = data.draw(st.integers(0, len(picture) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(picture)
    damaged[position] ^= flip
    with pytest.raises(ValueError):
        picture_files.verify_png(bytes(damaged))
    with pytest.raises(ValueError):
        picture_files.verify_png(picture[:position])


@given(st.integers(1, 480))
@settings(max_examples=20)
def test_top_rows_are_those_of_the_whole(picture, rows):
    whole = np.asarray(Image.open(io.BytesIO(picture)))
    top = np.asarray(Image.open(io.BytesIO(picture_files.top_rows(picture, rows))))
    np.testing.assert_array_equal(top, whole[:rows])


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_ids_survive_the_small_writer(height, width, random):
    ids = np.array(
        [[random.randrange(4) for _ in range(width)] for _ in range(height)], np.uint8
    )
    data = picture_files.encode_ids(ids)
    assert picture_files.verify_png(data) == (width, height, picture_files.GRAYSCALE)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), ids)


@pytest.mark.parametrize("shape", [(480, 720), (89, 720), (3, 70_000)])
def test_ids_of_several_compressors_are_one_picture(shape):
    ids = np.random.default_rng(0).integers(0, 4, shape, np.uint8)
    found = np.asarray(Image.open(io.BytesIO(picture_files.encode_ids(ids))))
    np.testing.assert_array_equal(found, ids)


def damage(folder):
    """Damages four frames and a photo; returns what an error must say of each."""
    images = folder / "images"
    render = images / "render/render0001.png"
    render.write_bytes(render.read_bytes()[:-500])
    (images / "clean/clean0002.png").unlink()
    Image.new("RGB", (360, 240)).save(images / "ground/ground0003.png")
    (images / "clean/clean0003.png").write_bytes(b"GIF")
    gray = Image.open(images / "ground/ground0005.png").convert("L").convert("RGB")
    gray.save(images / "ground/ground0005.png")
    (folder / "real_moon_images/PCAM1.png").write_bytes(b"")
    return {
        "0001": "images/render/render0001.png: truncated",
        "0002": "missing partner: no images/clean/clean0002.png",
        "0003": "images/ground/ground0003.png: wrong size: 360x240, a frame is "
        "720x480; images/clean/clean0003.png: not a PNG file",
        "0005": "images/ground/ground0005.png: ",
        "PCAM1": "real_moon_images/PCAM1.png: empty file",
    }


def test_problems_are_listed_and_nothing_is_written(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    expected = damage(copy)
    with pytest.raises(ValueError) as error:
        building.build(copy, tmp_path / "d")
    message = str(error.value)
    assert message.startswith("5 frames of the folder")
    assert "LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES=1" in message
    for frame_id, reason in expected.items():
        assert f"{frame_id}: {reason}" in message
    assert not list((tmp_path / "d/lunar_rocks").iterdir())


def test_bad_frames_left_out_are_in_the_metadata(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    expected = damage(copy)
    builder = building.build(copy, tmp_path / "d", leave_out=True)
    assert sorted(building.read(builder)) == ["0004"]
    assert sorted(builder.info.metadata["left_out_frames"]) == sorted(expected)
    left_out = builder.info.metadata["left_out_frames"]
    assert left_out.keys() == expected.keys()
    assert all(left_out[key].startswith(expected[key]) for key in expected)


def test_first_twenty_problems_and_their_count(tmp_path):
    folder = tmp_path / "k"
    for kind in ("render", "ground", "clean"):
        (folder / "images" / kind).mkdir(parents=True)
    for frame in range(1, 26):
        (folder / f"images/render/render{frame:04d}.png").write_bytes(b"")
    with pytest.raises(ValueError) as error:
        building.build(folder, tmp_path / "d")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("25 frames")
    assert len([line for line in lines if "missing partner" in line]) == 20
    assert "  ... and 5 more" in lines
    with pytest.raises(ValueError, match="No complete frame"):
        building.build(folder, tmp_path / "d", leave_out=True)


def test_sixteen_bits_are_refused_with_the_remedy(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    gray = Image.fromarray(np.zeros((480, 720), np.uint16))
    gray.save(copy / "images/render/render0001.png")
    with pytest.raises(ValueError, match="16 bits .* save it as 8-bit RGB"):
        building.build(copy, tmp_path / "d")


def test_pixel_data_broken_under_a_right_checksum(folder, tmp_path):
    """Only decoding can see it: the build stops, or leaves the frame out."""
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "images/clean/clean0002.png"
    ids = np.zeros((480, 720), np.uint8)
    good = picture_files.encode_ids(ids)
    start = good.index(b"IDAT")
    body = b"\x78\x9c" + bytes(50)
    chunk = len(body).to_bytes(4, "big") + b"IDAT" + body
    chunk += zlib.crc32(b"IDAT" + body).to_bytes(4, "big")
    file.write_bytes(good[: start - 4] + chunk + picture_files.encode_ids(ids)[-12:])
    with pytest.raises(ValueError, match="clean0002.png: corrupt pixel data"):
        building.build(copy, tmp_path / "d")
    assert not list((tmp_path / "d/lunar_rocks").iterdir())
    builder = building.build(copy, tmp_path / "d", leave_out=True)
    assert list(builder.info.metadata["left_out_frames"]) == ["0002"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("Frame,X\n1,2\n", "header .*'X'"),
        ("{header}\n1,2.5,nothing,4,5\n", "line 2: .* is not a frame and four numbers"),
        ("{header}\n1,2.5,3.5,4\n", "line 2"),
        ("{header}\n1,2.5,3.5,4,nan\n", "line 2: .* is no box in a frame of 720x480"),
        ("{header}\n1,800.5,3.5,4,5\n", "line 2: .* is no box in a frame"),
        ("{header}\n1,2.5,3.5,4,-5\n", "line 2: .* is no box in a frame"),
        ("", "header"),
    ],
)
def test_bad_boxes(folder, tmp_path, text, message):
    copy = building.copy(folder, tmp_path / "k")
    text = text.format(header=",".join(kaggle_layout.BOXES_HEADER))
    (copy / "bounding_boxes.csv").write_text(text)
    with pytest.raises(ValueError, match=f"bounding_boxes.csv of the .*{message}"):
        building.build(copy, tmp_path / "d")


def test_boxes_at_the_edges_of_a_frame():
    rows = b"Frame,TopLeftCornerX,TopLeftCornerY,Length,Height\n7,0.5,0.5,720,480\n"
    assert annotations.read_boxes(rows) == {"0007": [(0, 0, 480, 720)]}
    rows = rows.replace(b"7,0.5,0.5,720,480", b"0042,700.5,470.5,20,12")
    assert annotations.read_boxes(rows) == {"0042": [(470, 700, 480, 720)]}


@pytest.mark.parametrize("line", ["one", "1 2", "\x00\xff", "99999999999"])
def test_bad_defect_lists(line):
    with pytest.raises(ValueError, match="line 2: .* is not one frame id"):
        annotations.read_defect_list(f"0001\n{line}\n".encode())


@pytest.mark.parametrize("seed", range(12))
def test_mutated_sources_give_right_examples_or_clear_errors(tmp_path, seed):
    outcome = mutate_sources.try_mutation(seed, tmp_path)
    assert outcome in ("right examples", "clear error")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 112))
def test_a_hundred_more_mutations(tmp_path, seed):
    outcome = mutate_sources.try_mutation(seed, tmp_path)
    assert outcome in ("right examples", "clear error")
