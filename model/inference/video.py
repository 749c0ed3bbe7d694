"""Reads videos: their frames one by one, as images with a time."""

import contextlib
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np

from model.inference.deep_images import check_size
from model.inference.image_files import ImageFile
from model.inference.image_search import VIDEO_SUFFIXES

# The demuxer of each suffix: were it guessed, a file could be a playlist of others.
_FORMATS = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".3gp"), "mov"),
    **dict.fromkeys((".mkv", ".webm"), "matroska"),
    **dict.fromkeys((".ts", ".m2ts", ".mts"), "mpegts"),
    **dict.fromkeys((".mpg", ".mpeg"), "mpeg"),
    **{".avi": "avi", ".wmv": "asf", ".flv": "flv", ".ogv": "ogg"},
}


class VideoFrame:
    """One frame of a video, which is read once.

    Args:
        video: the file.
        index: of the frame, from 0, among those that are segmented.
        time: s from the start.
        frame: `av.VideoFrame`, or why there is none.

    Attributes:
        name, relative: the video's.
        video, index, time: see above.
        details: the time, as the tables have it.
    """

    def __init__(self, video: ImageFile, index: int, time: float, frame: Any):
        self.video, self.index, self.time = video, index, time
        self.name, self.relative = video.name, video.relative
        self.details = {"time_s": f"{time:.3f}"}
        self._frame = frame

    def __str__(self) -> str:
        return str(self.video)

    def read(self) -> np.ndarray:
        """Returns the frame, uint8 [height, width, 3] RGB, as it is held upright.

        Raises:
            ValueError: the video is damaged here, or its frames are too large.
        """
        frame, self._frame = self._frame, None  # Others may hold `self` for long.
        if isinstance(frame, Exception):
            raise frame
        check_size(frame.width, frame.height)
        turns = round(frame.rotation / 90)
        return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def is_video(file: ImageFile) -> bool:
    """Returns whether a file is called as a video."""
    return pathlib.PurePath(file.relative).suffix.lower() in VIDEO_SUFFIXES


def with_frames(
    files: Iterable[ImageFile], every: int
) -> Iterator[ImageFile | VideoFrame]:
    """Yields files, and in place of a video every n-th of its frames."""
    for file in files:
        if is_video(file):
            yield from video_frames(file, every)
        else:
            yield file


def video_frames(file: ImageFile, every: int = 1) -> Iterator[VideoFrame]:
    """Yields every n-th frame; where the video is damaged, one that tells so, and ends.

    Args:
        file: a video; a zip's is unpacked into memory.
        every: n.
    """
    index, time = 0, 0.0
    try:
        with _opened(file) as container:
            stream = _moving(container)
            stream.thread_type = "AUTO"
            rate = float(stream.guessed_rate or 25)
            start = float((stream.start_time or 0) * stream.time_base)
            for number, frame in enumerate(container.decode(stream)):
                time = number / rate if frame.time is None else frame.time - start
                if number % every == 0:
                    yield VideoFrame(file, index, time, frame)
                    index += 1
        if not index:
            raise ValueError("the video holds no frame")
    except Exception as error:  # Whatever it is, the files after this one follow.
        yield VideoFrame(file, index, time, error)


def count_frames(file: ImageFile, every: int = 1) -> int:
    """Returns how many frames `video_frames` will yield, about; 1 where unreadable."""
    try:
        import av

        with _opened(file) as container:
            stream = _moving(container)
            if stream.duration is not None:
                seconds = float(stream.duration * stream.time_base)
            else:  # Of some kinds, the file alone knows.
                seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or round(seconds * (stream.guessed_rate or 25))
    except Exception:  # Told when it is read.
        return 1
    return max(-(-frames // every), 1)


def _moving(container: Any) -> Any:
    """Returns the best video stream: a cover picture or thumbnail is none.

    Raises:
        ValueError: there is none.
    """
    from av.stream import Disposition

    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not moving:
        raise ValueError("the file holds no video")
    # FFmpeg's own choice, the largest, may be a picture.
    return max(moving, key=lambda stream: (stream.width or 0) * (stream.height or 0))


@contextlib.contextmanager
def _opened(file: ImageFile) -> Iterator[Any]:
    """Yields a video as an `av` container."""
    # Only here, so that photos are segmented without the package.
    import av

    suffix = pathlib.PurePath(file.relative).suffix.lower()
    with _data(file) as data:
        try:
            with av.open(data, "r", format=_FORMATS[suffix]) as container:
                yield container
        except (av.FFmpegError, OSError) as error:
            text = error.strerror or error
            raise ValueError(f"damaged or truncated video: {text}") from error


def _data(file: ImageFile) -> BinaryIO:
    if file.member is None:
        return open(file.path, "rb")
    return io.BytesIO(file.read_bytes())
