"""Folder, nested folder, zip and Kaggle give equal examples; hostile zips do not."""

import logging
import struct
import sys
import tracemalloc
import types
import zipfile
import zlib

import pytest

from lunar_tfds import ownership
from lunar_tfds.lunar_rocks import listing, sources
from tests.support import building, tiny_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return tiny_frames.write_kaggle_folder(folder, num_frames=4, num_photos=1)


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory):
    """Returns the builder and the examples of a build from the folder."""
    builder = building.build(folder, tmp_path_factory.mktemp("tfds"))
    return builder, building.read(builder)


def assert_like_the_folder(plain, manual_dir, data_dir):
    builder = building.build(manual_dir, data_dir)
    building.assert_equal(plain[1], building.read(builder))
    key = "source_fingerprint"
    assert builder.info.metadata[key] == plain[0].info.metadata[key]


def test_a_remote_folder_is_listed_like_a_local_one(folder, tmp_path, monkeypatch):
    building.copy(folder, tmp_path / "k" / "nested")
    expected = sources.find_source(tmp_path / "k").sizes
    # Of this module only: epath itself asks the same question of the system.
    no = lambda _: False  # noqa: E731
    path = types.SimpleNamespace(isdir=no, isfile=no, realpath=str)
    monkeypatch.setattr(listing, "os", types.SimpleNamespace(path=path))
    assert sources.find_source(tmp_path / "k").sizes == expected
    assert len(expected) >= 4 * 3 + 2


def test_a_file_that_changed_since_it_was_listed_is_read_whole(folder, tmp_path):
    building.copy(folder, tmp_path / "k")
    source = sources.find_source(tmp_path / "k")
    name = "images/clean/clean0001.png"
    content = (tmp_path / "k" / name).read_bytes()
    assert source.read(name) == content
    for changed in (content + b"more", content[:-3], b""):
        (tmp_path / "k" / name).write_bytes(changed)
        assert source.read(name) == changed
    (tmp_path / "k" / name).unlink()
    with pytest.raises(FileNotFoundError, match="clean0001.png"):
        source.read(name)


def test_folder_nested_one_deeper(folder, plain, tmp_path):
    (tmp_path / "k" / "sample_data").mkdir(parents=True)
    building.copy(folder, tmp_path / "k" / "archive")
    assert_like_the_folder(plain, tmp_path / "k", tmp_path / "d")


@pytest.mark.parametrize("prefix", ["", "artificial-lunar/"])
@pytest.mark.parametrize("name", ["archive.zip", "moon.ZIP"])
def test_zip_is_read_in_place(folder, plain, tmp_path, name, prefix):
    manual = tmp_path / "k"
    manual.mkdir()
    building.zip_folder(folder, manual / name, prefix)
    assert_like_the_folder(plain, manual, tmp_path / "d")
    assert [path.name for path in manual.iterdir()] == [name]
    assert not list((tmp_path / "d" / "downloads" / "extracted").iterdir())


def test_folder_comes_before_zip(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    (copy / "archive.zip").write_bytes(b"not looked at")
    assert sources.find_source(copy).description == f"folder {copy}"


def test_known_zip_name_comes_before_others(folder, tmp_path):
    building.zip_folder(folder, tmp_path / "archive.zip")
    building.zip_folder(folder, tmp_path / "backup.zip")
    assert "archive.zip" in sources.find_source(tmp_path).description
    building.zip_folder(folder, tmp_path / sources.ZIP_NAMES[1])
    with pytest.raises(ValueError, match="Several copies .* Keep one"):
        sources.find_source(tmp_path)


def test_unrelated_zips_are_not_the_dataset(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("images/photo.png", b"")
    assert sources.find_source(tmp_path) is None


def kagglehub(monkeypatch, download):
    module = types.ModuleType("kagglehub")
    module.dataset_download = download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kagglehub_comes_last(folder, plain, tmp_path, monkeypatch, caplog):
    asked = []
    kagglehub(monkeypatch, lambda handle: asked.append(handle) or str(folder))
    with caplog.at_level(logging.INFO, logger="absl"):
        assert_like_the_folder(plain, None, tmp_path / "d")
    assert asked == ["romainpessia/artificial-lunar-rocky-landscape-dataset"]
    assert "downloading 5 GB" in caplog.text
    assert "from the Kaggle download" in caplog.text
    assert_like_the_folder(plain, folder, tmp_path / "e")
    assert len(asked) == 1


def test_while_another_process_builds_nothing_is_downloaded(tmp_path, monkeypatch):
    kagglehub(monkeypatch, lambda handle: pytest.fail("downloaded"))
    with ownership.owned(tmp_path / "d/lunar_rocks", "--data_dir"):
        with pytest.raises(ValueError, match="is being written by process"):
            building.build(None, tmp_path / "d")


def test_failing_kagglehub_says_what_to_do(tmp_path, monkeypatch):
    def fail(handle):
        raise RuntimeError("403 forbidden")

    kagglehub(monkeypatch, fail)
    with pytest.raises(ValueError, match="403 forbidden(?s:.*)archive.zip"):
        building.build(None, tmp_path / "d")


def test_no_source_names_the_folder_and_the_steps(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(ValueError) as error:
        building.build(None, tmp_path / "d")
    assert str(tmp_path / "d" / "downloads" / "manual") in str(error.value)
    assert "https://www.kaggle.com/datasets/romainpessia" in str(error.value)
    assert "pip install kagglehub" in str(error.value)
    assert not list(tmp_path.rglob("lunar_rocks/*"))


def rewrite(folder, path, *, replace=None, extra=()):
    """Writes a zip of the folder with some members replaced or added."""
    building.zip_folder(folder, path)
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, (replace or {}).get(name, data))
        for name, data in extra:
            archive.writestr(name, data)
    return path


def test_path_traversal_is_ignored(folder, plain, tmp_path):
    (tmp_path / "k").mkdir()
    rewrite(
        folder,
        tmp_path / "k" / "archive.zip",
        extra=[
            ("../images/render/render0009.png", b"x"),
            ("/images/render/render0010.png", b"x"),
            ("images/render/../../../evil.png", b"x"),
        ],
    )
    assert_like_the_folder(plain, tmp_path / "k", tmp_path / "d")
    assert not list(tmp_path.rglob("evil.png"))


def test_bombs_are_refused_unread(folder, tmp_path):
    bomb = bytes(listing.MAX_MEMBER_BYTES + 1)
    path = rewrite(
        folder,
        tmp_path / "archive.zip",
        replace={"images/render/render0001.png": bomb},
    )
    assert path.stat().st_size < 2 << 20
    with pytest.raises(
        ValueError, match="render0001.png: 67108865 bytes when unpacked"
    ):
        building.build(tmp_path, tmp_path / "d")


def test_a_member_is_no_larger_than_it_claims(folder, tmp_path):
    name = "images/render/render0001.png"
    path = rewrite(folder, tmp_path / "archive.zip", replace={name: bytes(60 << 20)})
    data = bytearray(path.read_bytes())
    at = data.index(name.encode(), data.index(b"PK\x01\x02"))
    struct.pack_into("<I", data, at - 22, 1000)  # Its size in the central directory.
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match="render0001.png: damaged member"):
        building.build(tmp_path, tmp_path / "d")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_of_python_is_read(folder, plain, tmp_path, compression):
    (tmp_path / "k").mkdir()
    path = building.zip_folder(
        folder, tmp_path / "k/archive.zip", compression=compression
    )
    assert_like_the_folder(plain, tmp_path / "k", tmp_path / "d")
    data = bytearray(path.read_bytes())
    at = data.index(b"images/clean/clean0003.png") + 60
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="1 frames .*\n.*clean0003.png: damaged memb"):
        building.build(tmp_path / "k", tmp_path / "e")


def test_deflate64_is_one_line_for_the_zip(folder, tmp_path):
    path = building.zip_folder(folder, tmp_path / "archive.zip")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            struct.pack_into("<H", data, at + offset, 9)
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        building.build(path, tmp_path / "d")
    message = str(error.value)
    assert "\n" not in message and message.count(".png") == 0
    assert f"{path} is compressed by deflate64 (method 9)" in message
    assert "unpack it (7-Zip can) and name the folder" in message


def test_a_later_version_of_the_format_is_refused(folder, tmp_path):
    path = building.zip_folder(folder, tmp_path / "archive.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 200
    path.write_bytes(data)
    with pytest.raises(ValueError, match="archive.zip is not a complete zip file"):
        sources.find_source(tmp_path)


def test_a_broken_zip_of_another_dataset_is_left_alone(folder, plain, tmp_path, caplog):
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "imagenet.zip").write_bytes(b"PK not a zip")
    assert sources.find_source(tmp_path / "k") is None
    building.zip_folder(folder, tmp_path / "k" / "moon.zip")
    assert_like_the_folder(plain, tmp_path / "k", tmp_path / "d")
    assert "imagenet.zip is not a complete zip file" in caplog.text


def test_what_macos_adds_is_no_part_of_the_dataset(folder, plain, tmp_path):
    (tmp_path / "k").mkdir()
    names = ("images/render/._render0001.png", "real_moon_images/._PCAM1.png")
    extra = [(f"__MACOSX/{name}", b"x") for name in names]
    extra += [("real_moon_images/._PCAM1.png", b"x"), ("._shadow_IDs.txt", b"x")]
    rewrite(folder, tmp_path / "k" / "archive.zip", extra=extra)
    assert_like_the_folder(plain, tmp_path / "k", tmp_path / "d")
    found = sources.find_source(tmp_path / "k")
    assert found.sizes == sources.find_source(folder).sizes
    extracted = tmp_path / "extracted"
    zipfile.ZipFile(tmp_path / "k" / "archive.zip").extractall(extracted)
    assert sources.find_source(extracted).sizes == found.sizes


def test_a_picture_bomb_is_refused_undecoded(folder, tmp_path):
    copy = building.copy(folder, tmp_path / "k")
    file = copy / "real_moon_images" / "g_PCAM1.png"
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    file.write_bytes(with_chunk(file.read_bytes(), b"IHDR", header))
    with pytest.raises(ValueError, match="60000x60000 is more than 64000000 pixels"):
        building.build(copy, tmp_path / "d")


def with_chunk(png, name, body):
    """Returns a PNG file with the body of one chunk replaced and a right CRC."""
    start = png.index(name) - 4
    (length,) = struct.unpack_from(">I", png, start)
    crc = struct.pack(">I", zlib.crc32(name + body))
    chunk = struct.pack(">I", len(body)) + name + body + crc
    return png[:start] + chunk + png[start + 12 + length :]


def test_encrypted_members(folder, tmp_path):
    path = building.zip_folder(folder, tmp_path / "archive.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"images/ground/ground0002.png", data.index(b"PK\x01\x02"))
    data[at - 38] |= 1  # Flag bit 0 in the central directory.
    path.write_bytes(data)
    with pytest.raises(ValueError, match="ground0002.png: encrypted member"):
        building.build(tmp_path, tmp_path / "d")
    builder = building.build(tmp_path, tmp_path / "d", leave_out=True)
    assert list(builder.info.metadata["left_out_frames"]) == ["0002"]


def test_an_encrypted_zip_is_one_line(folder, tmp_path):
    path = building.zip_folder(folder, tmp_path / "secret.zip")
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1  # Flag bit 0 in the central directory.
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        building.build(path, tmp_path / "d")
    message = str(error.value)
    assert "\n" not in message and f"{path} is encrypted: unpack it" in message


def test_damaged_member_and_truncated_zip(folder, tmp_path):
    path = building.zip_folder(folder, tmp_path / "archive.zip")
    good = path.read_bytes()
    data = bytearray(good)
    data[data.index(b"images/clean/clean0003.png") + 200] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match="clean0003.png: damaged member"):
        building.build(tmp_path, tmp_path / "d")
    data = bytearray(good)  # Its deflate stream ends early.
    at = data.index(b"images/ground/ground0001.png", data.index(b"PK\x01\x02"))
    struct.pack_into("<I", data, at - 26, 100)  # Its packed size.
    path.write_bytes(data)
    with pytest.raises(ValueError, match="ground0001.png: damaged member"):
        building.build(tmp_path, tmp_path / "d")
    path.write_bytes(good[:-1000])
    with pytest.raises(
        ValueError, match="not a complete zip file .* Download it again"
    ):
        building.build(tmp_path, tmp_path / "d")


def test_a_name_twice_and_two_datasets(folder, tmp_path):
    name = "images/render/render0001.png"
    with pytest.warns(UserWarning, match="Duplicate"):
        rewrite(folder, tmp_path / "archive.zip", extra=[(name, b"other")])
    with pytest.raises(ValueError, match="render0001.png twice"):
        sources.find_source(tmp_path)
    rewrite(folder, tmp_path / "archive.zip", extra=[(f"old/{name}", b"")])
    with pytest.raises(ValueError, match="holds 2 datasets"):
        sources.find_source(tmp_path)


def test_fingerprint_sees_names_sizes_and_texts(folder, tmp_path):
    before = sources.fingerprint(sources.find_source(folder))
    copy = building.copy(folder, tmp_path / "k")
    assert sources.fingerprint(sources.find_source(copy)) == before
    (copy / "notes.md").write_text("not part of the dataset")
    assert sources.fingerprint(sources.find_source(copy)) == before
    seen = {before}
    boxes = copy / "bounding_boxes.csv"
    boxes.write_text(boxes.read_text().replace(".5", ".6", 1))
    seen.add(sources.fingerprint(sources.find_source(copy)))
    (copy / "shadow_IDs.txt").write_text("1\n")
    seen.add(sources.fingerprint(sources.find_source(copy)))
    (copy / "images/clean/clean0001.png").unlink()
    seen.add(sources.fingerprint(sources.find_source(copy)))
    assert len(seen) == 4
