import pathlib
import sys
import zipfile

import av
import numpy as np
import pytest
from av.stream import Disposition

from model.inference import video
from model.inference.image_files import find_images
from model.inference.outputs import Result
from model.inference.overlay_videos import OverlayVideos
from model.inference.predictor import Prediction
from tests.support import results

CODECS = {
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".mkv", ".ts"), "libx264"),
    **dict.fromkeys((".avi", ".3gp"), "mpeg4"),
    **{".webm": "libvpx", ".mpg": "mpeg2video", ".wmv": "wmv2"},
}

RATES = {".mpg": 25}  # Frames a second that the codec knows; 5 else.


def draw(path, count=6, size=(64, 96), turn=0):
    """Writes a video of five frames a second, each brighter, with a light corner."""
    height, width = size
    with av.open(str(path), "w") as container:
        rate = RATES.get(path.suffix, 5)
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for index in range(count):
            pixels = np.full((*size, 3), min(40 * index, 250), np.uint8)
            pixels[:16, :16] = 255
            frame = av.VideoFrame.from_ndarray(pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def found(path):
    (file,) = find_images(path)
    return file


def greys(frames):
    return [round(frame.read()[40, 60].mean() / 40) for frame in frames]


@pytest.mark.parametrize("suffix", CODECS)
def test_frames_come_one_by_one_with_their_times(tmp_path, suffix):
    file = found(draw(tmp_path / f"a{suffix}"))
    # MPEG's files tell no duration in so few frames.
    counted = 1 if suffix == ".mpg" else 6
    assert video.is_video(file) and video.count_frames(file) == counted
    frames = list(video.video_frames(file))
    expected = np.arange(6) / RATES.get(suffix, 5)
    assert [frame.time for frame in frames] == pytest.approx(expected, abs=1e-3)
    assert [frame.index for frame in frames] == list(range(6))
    assert {(frame.name, str(frame)) for frame in frames} == {("a", str(file))}
    pixels = frames[0].read()
    assert pixels.shape == (64, 96, 3) and pixels.dtype == np.uint8
    assert pixels[4, 4].min() > 230 and pixels[40, 60].max() < 20
    assert greys(video.video_frames(file)) == list(range(6))


@pytest.mark.parametrize("picture_first", [True, False])
def test_an_attached_picture_is_no_video(tmp_path, picture_first):
    """Drones and phones put a cover of any size beside the film."""
    path = tmp_path / "drone.mp4"
    with av.open(str(path), "w") as container:

        def add_picture():
            stream = container.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = 320, 320, "yuvj420p"
            stream.disposition = Disposition.attached_pic
            return stream

        cover = add_picture() if picture_first else None
        film = container.add_stream("libx264", rate=5)
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        cover = cover or add_picture()
        white = np.full((320, 320, 3), 255, np.uint8)
        container.mux(cover.encode(av.VideoFrame.from_ndarray(white)))
        container.mux(cover.encode())
        for index in range(6):
            pixels = np.full((64, 96, 3), 40 * index, np.uint8)
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(film.encode())
    file = found(path)
    assert greys(video.video_frames(file)) == list(range(6))
    assert video.count_frames(file) == 6


def test_every_third_frame(tmp_path):
    file = found(draw(tmp_path / "a.mp4", count=7))
    frames = list(video.with_frames([file], 3))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.6, 1.2])
    assert video.count_frames(file, 3) == 3


def test_a_camera_held_upright(tmp_path):
    (first, *_) = video.video_frames(found(draw(tmp_path / "a.mov", turn=90)))
    pixels = first.read()
    # Turned counterclockwise, the upper left corner is the lower left.
    assert pixels.shape == (96, 64, 3)
    assert pixels[-4, 4].min() > 230 and pixels[4, 4].max() < 20


def test_a_video_in_a_zip(tmp_path):
    draw(tmp_path / "a.mp4")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.mp4", "deep/a.mp4")
    file = found(tmp_path / "z.zip")
    assert greys(video.video_frames(file)) == list(range(6))


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"x" * 9]
)
def test_what_is_no_video_is_one_frame_that_tells_so(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    file = found(tmp_path / "a.mp4")
    assert video.count_frames(file) == 1
    (frame,) = video.video_frames(file)
    with pytest.raises(ValueError, match="damaged or truncated video"):
        frame.read()


def test_a_truncated_video_gives_the_frames_it_has(tmp_path):
    path = draw(tmp_path / "a.avi", count=30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    frames = list(video.video_frames(found(path)))
    assert 1 < len(frames) < 30
    assert frames[0].read().shape == (64, 96, 3)


def test_without_the_package_the_video_names_its_extra(tmp_path, monkeypatch):
    file = found(draw(tmp_path / "a.mp4"))
    monkeypatch.setitem(sys.modules, "av", None)
    (frame,) = video.video_frames(file)
    with pytest.raises(ModuleNotFoundError):
        frame.read()


def framed(path, size, count=3):
    """Returns results of a video's frames, as the network would give them."""
    file = found(draw(path, count, size=(64, 96)))
    made = []
    for frame in video.video_frames(file):
        frame.read()
        made.append(results.result(size=size, seed=frame.index, file=frame))
    return made


def test_overlays_become_a_video_at_the_same_times(tmp_path):
    one = framed(tmp_path / "one.mp4", (63, 95))
    two = framed(tmp_path / "two.avi", (64, 96), count=2)
    output = tmp_path / "out"
    results.write(OverlayVideos(output), [*one, results.result(), *two])
    assert sorted(path.name for path in output.iterdir()) == [
        *("one_overlay.mp4", "two_overlay.mp4")
    ]
    with av.open(str(output / "one_overlay.mp4")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == "h264"
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4], abs=1e-3)
    # An odd side gets another pixel.
    assert (frames[0].width, frames[0].height) == (96, 64)


def test_a_video_shows_the_overlay(tmp_path):
    grey = np.full((64, 96, 3), 100, np.uint8)
    mask = np.repeat([[1, 3]], 48, axis=1).repeat(64, axis=0).astype(np.uint8)
    file = found(draw(tmp_path / "a.mp4", 1))
    (frame,) = video.video_frames(file)
    probabilities = np.eye(4, dtype=np.float32)[mask]
    shown = Result(frame, grey, Prediction(mask, probabilities))
    results.write(OverlayVideos(tmp_path), [shown])
    (frame,) = video.video_frames(found(tmp_path / "a_overlay.mp4"))
    left, right = frame.read()[32, [20, 76]].astype(int)
    # Sky is red, a large rock blue, each by 0.4 over a grey of 100.
    np.testing.assert_allclose(left, [162, 60, 60], atol=12)
    np.testing.assert_allclose(right, [60, 60, 162], atol=12)


def test_frames_of_another_size_are_refused_and_the_video_goes_on(tmp_path):
    one, other, last = framed(tmp_path / "a.mp4", (64, 96))
    output = OverlayVideos(tmp_path)
    output.add(one.file, output.make(one))
    with pytest.raises(ValueError, match="change from 96x64 to 96x60. Split it"):
        output.add(other.file, output.make(other)[:60])
    output.add(last.file, output.make(last))
    output.close()
    assert video.count_frames(found(tmp_path / "a_overlay.mp4")) == 2
    assert not list(pathlib.Path(tmp_path).glob(".tmp*"))
