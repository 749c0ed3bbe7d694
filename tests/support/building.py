"""Short ways to build the dataset and to read it whole, for its tests."""

import pathlib
import shutil
import zipfile

import tensorflow_datasets as tfds

import lunar_tfds

tfds.disable_progress_bar()


def build(manual_dir, data_dir, *, config=None, leave_out=None, **download):
    """Builds and returns the builder."""
    builder = lunar_tfds.LunarRocks(
        data_dir=data_dir, config=config, leave_out_bad_frames=leave_out
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **download)
    )
    return builder


def read(builder):
    """Returns a dict of frame id to (split, example of numpy arrays)."""
    return {
        example["frame_id"].decode(): (split, example)
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }


def assert_equal(left, right):
    """Asserts that two results of `read` hold the same examples in the same splits."""
    assert left.keys() == right.keys()
    for frame_id, (split, example) in left.items():
        assert right[frame_id][0] == split
        assert_same_values(example, right[frame_id][1])


def assert_same_values(left, right):
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_values(left[key], right[key])
    elif hasattr(left, "shape") and left.shape:
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert (left == right).all()
    else:
        assert left == right


def copy(folder, target):
    """Returns a copy of a dataset folder to damage."""
    return pathlib.Path(shutil.copytree(folder, target))


def zip_folder(folder, path, prefix="", compression=zipfile.ZIP_DEFLATED):
    """Returns the path of a zip of a dataset folder."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path
