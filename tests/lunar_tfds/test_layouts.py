"""The dataset is found in whatever layout people have it; what is none is named."""

import logging
import os
import zipfile

import pytest
import tensorflow_datasets as tfds

import lunar_tfds
from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import frame_files, sources
from tests.support import building

RENDERS = ("images/render/render0001.png",)
GROUND = ("images/ground/ground0001.png",)
CLEAN = ("images/clean/clean0001.png",)
PHOTOS = ("real_moon_images/TCAM3.png", "real_moon_images/g_TCAM3.png")
REST = ("bounding_boxes.csv", "shadow_IDs.txt")
ALL = RENDERS + GROUND + CLEAN + PHOTOS + REST


def write(root, names=ALL, flat=False):
    """Writes files of one byte, those of a flat copy without `images` above them."""
    for name in names:
        file = root / (name.removeprefix("images/") if flat else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def zip_of(path, names=ALL, prefix="", flat=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(
                prefix + (name.removeprefix("images/") if flat else name), b"x"
            )
    return path


def assert_found(given, names=ALL):
    source = sources.open_source(given)
    assert set(source.sizes) == set(names)
    assert all(source.read(name) == b"x" for name in names)
    return source


@pytest.mark.parametrize("slug", ["moon", "datasets/owner/moon", "a/datasets/owner/m"])
@pytest.mark.parametrize("depth", range(5))
def test_kaggle_notebooks_and_whatever_is_above(tmp_path, slug, depth):
    root = write(tmp_path / "kaggle" / "input" / slug)
    write(tmp_path / "kaggle" / "input" / "titanic", ["train.csv", "x/y/z.png"])
    above = [root, *root.parents][min(depth, 1 + slug.count("/"))]
    assert_found(above)


def test_the_folders_of_a_copy_stand_for_it(tmp_path):
    root = write(tmp_path / "k")
    for name in ("images", "images/render", "images/clean", "real_moon_images"):
        assert_found(root / name)


@pytest.mark.parametrize("mask", kaggle_layout.MASKS)
@pytest.mark.parametrize("where", ["top", "nested", "flat", "zip", "zip nested flat"])
def test_one_mask_kind(tmp_path, mask, where):
    names = RENDERS + (GROUND if mask == "ground" else CLEAN)
    if "zip" in where:
        prefix = "a/b/" if "nested" in where else ""
        zip_of(tmp_path / "archive.zip", names, prefix, flat="flat" in where)
    else:
        write(tmp_path / where, names, flat=where == "flat")
    given = tmp_path if where != "top" else tmp_path / where
    source = assert_found(given, names)
    assert source.masks == (mask,)
    (frame,), problems, _ = frame_files.find_frames(source.sizes)
    assert list(frame.masks) == [mask] and not problems


def test_with_both_kinds_a_frame_needs_both(tmp_path):
    names = (*ALL, "images/render/render0002.png", "images/ground/ground0002.png")
    source = assert_found(write(tmp_path, names), names)
    assert source.masks == kaggle_layout.MASKS
    _, problems, _ = frame_files.find_frames(source.sizes)
    assert problems == {"0002": "missing partner: no images/clean/clean0002.png"}


def test_a_cache_of_kagglehub(tmp_path, caplog):
    slug = tmp_path / "datasets" / "owner" / "moon"
    for version in (2, 9, 10):
        file = f"images/render/render{version:04d}.png"
        write(slug / "versions" / str(version), [*GROUND, file])
    (slug / "10.complete").write_bytes(b"")
    assert_found(slug / "versions" / "2", [*GROUND, "images/render/render0002.png"])
    newest = [*GROUND, "images/render/render0010.png"]
    for given in (slug, slug / "versions", tmp_path / "datasets", tmp_path):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            assert_found(given, newest)
        assert "Of the versions 2, 9, 10" in caplog.text
        assert "newest is taken, 10" in caplog.text


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/moon/"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_zip_with_folders_around(tmp_path, prefix, flat):
    path = zip_of(tmp_path / "anything.zip", ALL, prefix, flat)
    assert_found(path)
    assert_found(tmp_path)
    assert_found(zip_of(tmp_path / "deep/er/archive.zip", ALL, prefix).parent.parent)


@pytest.mark.parametrize("nested", ["", "archive", "a/b"])
def test_a_flat_copy(tmp_path, nested):
    write(tmp_path / nested, flat=True)
    assert_found(tmp_path)


@pytest.mark.parametrize(
    "render, ground, photos",
    [
        ("Images/Render", "Images/GROUND", "Real_Moon_Images"),
        ("IMAGES/render", "IMAGES/Ground", "real_moon_images"),
        ("images/render/render", "images/ground/Ground", "real_moon_images"),
        ("images/render/render/render", "images/ground", "real_moon_images"),
        ("images/render", "images/ground", "real_moon_images/Real_moon_images"),
        ("Render/render", "Ground", "real_moon_images"),
    ],
)
def test_capital_letters_and_folders_in_themselves(
    tmp_path, caplog, render, ground, photos
):
    root = tmp_path / "a" / "k"
    names = (*RENDERS, *GROUND, *PHOTOS, "bounding_boxes.csv")
    places = [f"{render}/render0001.png", f"{ground}/ground0001.png"]
    places += [f"{photos}/{os.path.basename(name)}" for name in PHOTOS]
    write(root, [*places, "bounding_boxes.csv"])
    for given in (tmp_path, root, root / render, root / ground, root / photos):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            assert_found(given, names)
        for place, name in {
            render: "images/render",
            ground: "images/ground",
            photos: "real_moon_images",
        }.items():
            taken = f"Taken as {name}: {root}/{place}."
            assert (taken in caplog.text) == (place != name)


def test_a_folder_with_pictures_is_not_left_for_one_in_it(tmp_path):
    inner = "images/render/render/render0002.png"
    assert_found(write(tmp_path, [*RENDERS, *GROUND, inner]), [*RENDERS, *GROUND])


def test_capital_letters_in_a_zip(tmp_path):
    names = [f"Moon/Images/{name.removeprefix('images/').title()}" for name in RENDERS]
    path = zip_of(tmp_path / "k.zip", [*names, "Moon/Images/GROUND/ground0001.png"])
    source = sources.open_source(path)
    assert set(source.sizes) == {"images/render/Render0001.Png", *GROUND}
    assert source.read(GROUND[0]) == b"x"


def test_folders_that_are_called_alike_are_no_copy(tmp_path):
    write(tmp_path / "blender", ["render/house.png", "clean/house.png"])
    write(tmp_path / "b" / "moon")
    assert_found(tmp_path)
    zip_of(tmp_path / "z" / "blender.zip", ["render/house.png", "clean/house.png"])
    assert sources.find_source(tmp_path / "z") is None


def test_a_link_to_a_copy_is_no_second_copy(tmp_path):
    write(tmp_path / "a")
    os.symlink(tmp_path / "a", tmp_path / "b")
    os.symlink(tmp_path, tmp_path / "loop")
    assert_found(tmp_path)


def test_the_nearest_copy_counts_and_renders_before_photos(tmp_path):
    write(tmp_path, PHOTOS)
    write(tmp_path / "a" / "b", [*RENDERS, *CLEAN])
    assert_found(tmp_path, [*RENDERS, *CLEAN])
    zip_of(tmp_path / "moon.zip")
    assert_found(tmp_path)
    write(tmp_path / "near", [*RENDERS, *GROUND])
    assert_found(tmp_path, [*RENDERS, *GROUND])


def test_photos_alone(tmp_path):
    names = [
        *PHOTOS,
        "real_moon_images/my rover.jpg",
        "real_moon_images/g_my rover.png",
    ]
    for given in (
        write(tmp_path / "k", names),
        zip_of(tmp_path / "z.zip", names, "a/"),
    ):
        source = assert_found(given, names)
        assert source.masks == kaggle_layout.MASKS
        frames, problems, without_mask = frame_files.find_frames(source.sizes)
        assert [frame.frame_id for frame in frames] == ["TCAM3", "my rover"]
        assert {frame.split for frame in frames} == {"real"}
        assert not problems and not without_mask


def test_removed_renders_leave_their_masks_as_problems(tmp_path):
    names = (*ALL, "images/ground/ground0002.png", "images/clean/clean0002.png")
    frames, problems, _ = frame_files.find_frames(names)
    assert [frame.frame_id for frame in frames] == ["0001", "TCAM3"]
    assert problems == {"0002": "missing partner: no images/render/render0002.png"}


@pytest.mark.parametrize("folders", [("images", "masks"), ("input", "target")])
def test_photos_elsewhere_are_not_taken(tmp_path, folders):
    names = RENDERS + GROUND + CLEAN
    moved = [f"{folder}/PCAM1.png" for folder in folders]
    root = write(tmp_path, [*names, *moved])
    assert set(sources.open_source(root).sizes) == set(names)


@pytest.mark.parametrize(
    "names, says",
    [
        (["X_train.npy", "Y_train.npy"], "2 .npy files, arrays made from the frames"),
        (["d/images.npz"], "1 .npz files, arrays made from the frames"),
        (["data.h5"], "1 .h5 files, arrays"),
        (["data-00.parquet"], "1 .parquet files, tables"),
        (["a/0001.png", "a/0001_mask.png"], "1 pictures such as 0001_mask.png, a conv"),
        (
            ["train/images/1.png", "val/images/2.png", "test/images/3.png"],
            "split anew into test, train, val",
        ),
        (
            [*RENDERS, "images/ground/ground0001.jpg"],
            "images/ground/ground0001.jpg is a JPEG, which blurs labels: masks must",
        ),
        (PHOTOS[:1], "photos in real_moon_images without their labels, a g_NAME.png"),
        (["render.zip", "ground.zip"], "unpack them into one folder"),
        (["archive.7z"], "a .7z archive, which is not read in place: unpack it first"),
        (["render/render0001.png"], "but neither ground nor clean"),
        (["ground/ground0001.png"], "a folder ground, but no render"),
        (["x/PCAM1.png", "x/g_PCAM1.png"], "put them into a folder called real_moon"),
        (["a.png", "b.png"], "2 pictures, none of them in folders called as Kaggle"),
        (["lunar_rocks/1.0.0/dataset_info.json"], "it is a built dataset"),
        (["notes.txt", "more/notes.txt"], "it holds more, notes.txt, and no picture"),
        ([], "it is empty"),
    ],
)
def test_what_is_no_dataset_is_named_in_a_line(tmp_path, names, says):
    root = write(tmp_path / "k", names)
    root.mkdir(exist_ok=True)
    with pytest.raises(ValueError) as error:
        sources.open_source(root)
    message = str(error.value)
    assert message.startswith(f"No dataset in {root}: ")
    assert says in message and "\n" not in message
    assert "Needed are images/render and images/ground or images/clean" in message
    assert "https://www.kaggle.com/datasets/romainpessia" in message


@pytest.mark.parametrize("zipped", [False, True])
def test_frames_that_are_split_anew(tmp_path, zipped):
    parts = ("train/", "val/", "test/")
    names = [f"{part}{name}" for part in parts for name in RENDERS + GROUND]
    given = tmp_path / "k.zip" if zipped else tmp_path / "k"
    zip_of(given, names, flat=True) if zipped else write(given, names)
    with pytest.raises(ValueError, match="split anew.*into one folder, images/render"):
        sources.open_source(given)


def test_several_copies_are_named(tmp_path):
    write(tmp_path / "one"), write(tmp_path / "two")
    with pytest.raises(ValueError, match="Several copies.*one, folder.*two. Keep one"):
        sources.open_source(tmp_path)


@pytest.fixture
def no_download(monkeypatch):
    def download():
        raise AssertionError("a download was asked for")

    monkeypatch.setattr(sources, "download", download)


AS_IT_IS = tfds.GenerateMode.REUSE_DATASET_IF_EXISTS
ANEW = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS


@pytest.mark.parametrize(
    "prepared, mode", [(False, AS_IT_IS), (True, AS_IT_IS), (True, ANEW)]
)
def test_a_manual_folder_without_dataset_is_an_error(
    tmp_path, tiny_data_dir, no_download, prepared, mode
):
    data_dir = tiny_data_dir if prepared else tmp_path / "d"
    write(tmp_path / "other", ["notes.txt"])
    zip_of(tmp_path / "other.zip", ["notes.txt"])
    (tmp_path / "moon.rar").write_bytes(b"x")
    for name, says in {
        "nope": "does not exist",
        "nope.zip": "does not exist",
        "other": "it holds notes.txt",
        "other.zip": "it holds no pictures with their labels",
        "moon.rar": "is neither a folder nor a zip",
    }.items():
        with pytest.raises(ValueError) as error:
            building.build(tmp_path / name, data_dir, download_mode=mode)
        message = str(error.value)
        assert message.startswith("--manual_dir: ") and "\n" not in message
        assert str(tmp_path / name) in message and says in message
    assert lunar_tfds.LunarRocks(data_dir=data_dir).is_prepared() == prepared


def test_a_dataset_is_used_without_its_source(tiny_data_dir, no_download):
    builder = lunar_tfds.LunarRocks(data_dir=tiny_data_dir)
    builder.download_and_prepare()
    building.build(None, tiny_data_dir)
