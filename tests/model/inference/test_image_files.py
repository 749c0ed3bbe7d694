import io
import itertools
import time
import zipfile

import pytest
from PIL import Image

from model.inference import image_files
from model.inference.image_files import find_images
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


def test_names_of_very_many_files_are_found_fast_and_all_differ(tmp_path):
    # As many stems as files; one stem for all; and paths that are the same word.
    separators = itertools.product("/.", repeat=11)
    words = [f"{''.join('x' + s for s in each)}y/s.png" for each in separators]
    names = [f"{n}.png" for n in range(20_000)]
    names += [f"{n}/a.png" for n in range(20_000)] + words
    start = time.perf_counter()
    found = image_files._result_names([(name, tmp_path, None) for name in names])
    assert time.perf_counter() - start < 3
    assert len(set(found)) == len(names)
    assert found[7] == "7" and found[20_007] == "7_a_png"
    word = "x_" * 11 + "y_s_png"
    assert found[-len(words) :] == [word + "_" * n for n in range(len(words))]


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
