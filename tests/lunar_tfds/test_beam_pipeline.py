"""The Beam pipeline gives what the plain build gives; without options it sleeps."""

import pathlib
import pickle
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options

from lunar_tfds.lunar_rocks import frame_files, sources
from lunar_tfds.lunar_rocks.read_frame import Job, read_frame
from tests.support import building, tiny_frames


def options():
    return pipeline_options.PipelineOptions(
        ["--runner=DirectRunner", "--direct_num_workers=2"]
        + ["--direct_running_mode=multi_threading"]
    )


def test_two_workers_give_the_plain_build(tiny_folder, tiny_data_dir, tmp_path):
    beam = building.build(tiny_folder, tmp_path, beam_options=options())
    plain = tfds.builder("lunar_rocks", data_dir=tiny_data_dir)
    building.assert_equal(building.read(plain), building.read(beam))
    assert dict(beam.info.metadata.items()) == dict(plain.info.metadata.items())
    names = {path.name for path in beam.data_path.iterdir()}
    assert not [name for name in names if name.startswith("findings")]


@pytest.mark.slow
def test_the_command_with_worker_processes_reads_a_zip(
    tiny_folder, tiny_data_dir, tmp_path
):
    building.zip_folder(tiny_folder, tmp_path / "archive.zip")
    command = [pathlib.Path(sys.executable).with_name("tfds"), "build", "lunar_rocks"]
    command += ["--imports=lunar_tfds", f"--manual_dir={tmp_path}"]
    command += [
        f"--data_dir={tmp_path / 'data'}",
        "--beam_pipeline_options=runner=DirectRunner,direct_num_workers=2,"
        "direct_running_mode=multi_processing",
    ]
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path)
    beam = tfds.builder("lunar_rocks", data_dir=tmp_path / "data")
    plain = tfds.builder("lunar_rocks", data_dir=tiny_data_dir)
    building.assert_equal(building.read(plain), building.read(beam))
    counts = [b.info.metadata["class_pixel_counts"] for b in (beam, plain)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("zipped", [False, True])
def test_what_goes_to_worker_processes_survives_the_way(tiny_folder, tmp_path, zipped):
    folder = tiny_folder
    if zipped:
        building.zip_folder(tiny_folder, tmp_path / "archive.zip")
        folder = tmp_path
    source = sources.find_source(folder)
    frame = frame_files.find_frames(source.sizes)[0][0]
    job = Job(frame, [(1.0, 2.0, 30.0, 40.0)], ["shadow"])
    result = read_frame(source, job, 100)
    again = read_frame(*pickle.loads(pickle.dumps((source, job, 100))))
    assert result.example and pickle.loads(pickle.dumps(result)) == again == result


def test_damaged_frames_stop_it_or_are_left_out(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=2, num_photos=0)
    file = folder / "images/clean/clean0002.png"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="clean0002.png: truncated"):
        building.build(folder, tmp_path / "a", beam_options=options())
    assert not (tmp_path / "a/lunar_rocks/1.0.0").exists()
    beam = building.build(
        folder, tmp_path / "b", leave_out=True, beam_options=options()
    )
    assert "0002" not in building.read(beam)
    assert list(beam.info.metadata["left_out_frames"]) == ["0002"]


def test_no_beam_code_without_options(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "k", num_frames=1, num_photos=0)
    code = f"""
import sys
from tests.support import building
building.build({str(folder)!r}, {str(tmp_path)!r})
# TFDS's own lazy wrapper may be there; Beam itself must not.
assert "apache_beam" not in sys.modules
assert "lunar_tfds.lunar_rocks.beam_pipeline" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
