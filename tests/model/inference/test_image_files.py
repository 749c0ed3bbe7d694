import io
import itertools
import os
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from lunar_tfds.kaggle_layout import KINDS
from model.inference import image_search
from model.inference.image_files import find_images
from model.inference.image_search import suffixes
from model.inference.result_names import MAX_BYTES, result_names, shorten
from tests.model.inference.test_images import GREY, save


def test_a_folder_is_searched_without_labels_and_hidden_files(tmp_path):
    for name in ("b.png", "a/b.png", "PCAM5.png", "g_PCAM5.png", ".x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, GREY)
    (tmp_path / "notes.txt").write_text("x")
    found = find_images(tmp_path)
    assert sorted(file.name for file in found) == ["PCAM5", "a_b_png", "b_png"]
    assert all(file.read().shape == (3, 4, 3) for file in found)


def test_excluded_files_are_left_out_unless_named_by_themselves(tmp_path):
    save(tmp_path / "a.png", GREY)
    mask = save(tmp_path / "a_mask.png", GREY)

    def found(pattern):
        files = find_images(pattern, exclude=lambda path: path == mask)
        return [file.name for file in files]

    assert found(tmp_path) == found(tmp_path / "*.png") == ["a"]
    assert found(mask) == ["a_mask"]


def test_a_zip_is_read_in_place(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, format="PNG")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("deep/../p.png", stream.getvalue())
        archive.writestr("__MACOSX/p.png", b"")
        archive.writestr("empty.png", b"")
    files = find_images(tmp_path / "x.zip")
    assert [file.name for file in files] == ["p", "empty"]
    assert files[0].read().shape == (3, 4, 3)
    with pytest.raises(ValueError, match="empty"):
        files[1].read()
    data = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="not a whole zip"):
        find_images(tmp_path / "x.zip")


def test_the_list_of_a_zip_is_read_once(tmp_path, monkeypatch):
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, format="PNG")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.png", stream.getvalue())
    listed = []
    read_list = zipfile.ZipFile._RealGetContents
    monkeypatch.setattr(
        zipfile.ZipFile,
        "_RealGetContents",
        lambda archive: (listed.append(archive), read_list(archive)),
    )
    for file in find_images(tmp_path / "x.zip"):
        assert file.read().shape == (3, 4, 3)
    assert len(listed) == 1


def test_names_of_very_many_files_are_found_fast_and_all_differ():
    # As many stems as files; one stem for all; and paths that are the same word.
    separators = itertools.product("/.", repeat=11)
    words = [f"{''.join('x' + s for s in each)}y/s.png" for each in separators]
    names = [f"{n}.png" for n in range(20_000)]
    names += [f"{n}/a.png" for n in range(20_000)] + words
    start = time.perf_counter()
    found = result_names(names)
    assert time.perf_counter() - start < 3
    assert len(set(found)) == len(names)
    assert found[7] == "7" and found[20_007] == "7_a_png"
    word = "x_" * 11 + "y_s_png"
    assert found[-len(words) :] == [shorten(word + "_" * n) for n in range(len(words))]


def test_long_names_are_shortened_and_differ_in_more_than_case():
    names = [f"{'ü' * 120}{n}.png" for n in range(3)] + [
        "A.png",
        "b/a.png",
        "\udce9.png",
    ]
    found = result_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert all(len(os.fsencode(name)) <= MAX_BYTES for name in found)
    assert found[0].startswith("ü" * 40) and found[3:] == ["A_png", "b_a_png", "\udce9"]


def test_what_is_no_image_is_counted_by_kind(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("notes.txt", "more.txt", "raw.dng", "page.ps", ".hidden.png"):
        (tmp_path / name).write_bytes(b"II*\0 and sixteen bytes more")
    save(tmp_path / "photo", GREY, format="PNG")
    save(tmp_path / "scan", GREY, format="TIFF")
    save(tmp_path / "b.data", GREY, format="WEBP")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    names = ["b", "photo", "scan"]
    assert sorted(file.name for file in find_images(tmp_path)) == names
    (line,) = [r.getMessage() for r in caplog.records if "Left out" in r.getMessage()]
    assert str(tmp_path) in line
    for kind in ("2 .txt", "1 .dng", "1 .ps", "1 hidden files", "1 links to nothing"):
        assert kind in line
    assert all(file.read().shape == (3, 4, 3) for file in find_images(tmp_path))


def test_every_suffix_that_pillow_reads_is_known_but_postscript():
    known = suffixes()
    for suffix in ".jfif .mpo .avif .tga .qoi .ico .psd .heic .png .j2k .mpg".split():
        assert suffix in known
    assert not {".eps", ".ps", ".pdf", ".h5"} & known


def test_linked_folders_are_searched_once_and_circles_end(tmp_path):
    for name in ("photos/a.png", "elsewhere/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        save(tmp_path / name, GREY)
    (tmp_path / "photos/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/circle").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/c.png").symlink_to(tmp_path / "photos/a.png")
    files = find_images(tmp_path / "photos")
    assert sorted(file.name for file in files) == ["a", "b", "c"]


def test_an_entry_that_cannot_be_opened_does_not_end_the_search(
    tmp_path, monkeypatch, caplog
):
    for name in ("a/a.png", "b/b.png", "c/notes"):
        (tmp_path / name).parent.mkdir()
        save(tmp_path / name, GREY, format="PNG")
    os.mkfifo(tmp_path / "pipe.png")
    scandir = os.scandir

    def refuse(path, *args):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path, *args)

    def refuse_to_open(path, *args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(image_search, "open", refuse_to_open, raising=False)
    assert [file.name for file in find_images(tmp_path)] == ["a"]
    assert "1 folders that cannot be opened" in caplog.text
    assert "1 files that cannot be opened" in caplog.text


@pytest.mark.parametrize("as_zip", [False, True])
def test_label_pictures_of_a_dataset_are_left_out_and_told(tmp_path, caplog, as_zip):
    root = tmp_path / "data"
    names = [f"images/{kind}/{kind}0001.png" for kind in KINDS]
    names += ["real_moon_images/PCAM5.png", "real_moon_images/g_PCAM5.png"]
    names += ["mine/X.jpg", "mine/g_X.png", "mine/g_Y.png", "ground/plain.png"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        save(root / name, GREY)
    if as_zip:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for name in names:
                archive.write(root / name, name)
        root = tmp_path / "data.zip"
    found = sorted(file.name for file in find_images(root))
    assert found == ["PCAM5", "X", "g_Y", "plain", "render0001"]
    assert "4 label masks" in caplog.text
    if not as_zip:  # Asked for, they are photos.
        assert len(find_images(root / "images" / "ground")) == 1


@pytest.mark.parametrize("as_zip", [False, True])
def test_16_bit_files_of_a_folder_share_their_depth(tmp_path, as_zip):
    for name, largest in (("a/x", 255), ("a/y", 3000), ("b/x", 255), ("b/y", 256)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / f"{name}.png", np.array([[0, largest]], np.uint16))
    save(tmp_path / "a" / "photo.png", GREY)
    (tmp_path / "a" / "broken.tif").write_bytes(b"II*\0")
    path = tmp_path
    if as_zip:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(tmp_path.rglob("*.*")):
                if file != path:
                    archive.write(file, file.relative_to(tmp_path))

    def read(**options):
        files = [f for f in find_images(path, **options) if "broken" not in f.name]
        whites = {f.name: int(f.read().max()) for f in files}
        return whites, {f.name: f.details["bit_depth"] for f in files}

    whites, depths = read()
    assert depths == dict(photo=8, a_x_png=12, a_y_png=12, b_x_png=10, b_y_png=10)
    assert whites == dict(photo=220, a_x_png=16, a_y_png=187, b_x_png=64, b_y_png=64)
    assert set(read(bit_depth=16)[1].values()) == {8, 16}


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_damaged_entry_of_a_zip_is_a_clear_error(tmp_path, kept):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(range(256)) * 40)
        info = archive.getinfo("a.png")
    data = bytearray(path.read_bytes())
    first = info.header_offset + 30 + len("a.png")
    end = first + info.compress_size
    middle = first + int(kept * info.compress_size)
    data[middle:end] = b"\xff" * (end - middle)
    path.write_bytes(data)
    (file,) = find_images(path)
    with pytest.raises(ValueError, match="entry is damaged"):
        file.read()


def test_a_glob_a_file_and_nothing(tmp_path):
    save(tmp_path / "b.png", GREY)
    save(tmp_path / "a.jpg", GREY)
    names = [f.name for f in find_images(str(tmp_path / "*.*"))]
    assert names == ["a", "b"]
    assert [f.name for f in find_images(tmp_path / "a.jpg")] == ["a"]
    for nothing in (tmp_path / "*.gif", tmp_path / "none.png"):
        with pytest.raises(ValueError, match="no images matched"):
            find_images(nothing)
