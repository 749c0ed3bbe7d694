"""Writes videos of overlays, beside the videos that were segmented."""

import contextlib
import fractions
import pathlib
from typing import Any

import numpy as np

from lunar_tfds.atomic_files import atomic_path
from model.inference import pictures, result_files
from model.inference.image_files import ImageFile
from model.inference.outputs import Result, Source
from model.inference.video import VideoFrame

# Ticks a second of the time stamps that are written.
_CLOCK = 90_000
# H.264 as every browser plays it; 20 of 51 shows no loss that an eye would see.
_CODEC, _PIXELS = "libx264", "yuv420p"
_OPTIONS = {"crf": "20", "preset": "veryfast"}


class OverlayVideos:
    """NAME_overlay.mp4 of each video: its frames, tinted by class, at their times.

    Args:
        folder: where.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._writer: _Writer | None = None
        self._video: ImageFile | None = None

    def make(self, result: Result) -> np.ndarray | None:
        """Returns a video frame's overlay, uint8 [height, width, 3]."""
        if not isinstance(result.file, VideoFrame):
            return None
        return pictures.overlay(result.image, result.prediction.mask)

    def add(self, file: Source, made: np.ndarray | None) -> None:
        """Takes a frame; that of another video ends the one before."""
        if not isinstance(file, VideoFrame) or made is None:
            return
        if self._writer is None or self._video is not file.video:
            self.close()
            path = self._folder / f"{file.name}{result_files.OVERLAY_VIDEO}"
            self._writer, self._video = _Writer(path, made), file.video
        self._writer.add(made, file.time)

    def fail(self, file: Source, error: str) -> None:
        """Does nothing: the frame before stays in sight."""

    def close(self) -> None:
        """Ends the video that is being written, with the frames that it has."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


class _Writer:
    """An MP4 file that appears when it is closed."""

    def __init__(self, path: pathlib.Path, first: np.ndarray):
        import av

        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            container: Any = stack.enter_context(
                av.open(str(temporary), "w", options={"movflags": "+faststart"})
            )
            self._stack = stack.pop_all()
        self._container = container
        self._stream = container.add_stream(_CODEC, options=dict(_OPTIONS))
        self._stream.pix_fmt = _PIXELS
        height, width = first.shape[:2]
        # This form of colour has one value for two by two pixels.
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        clock = fractions.Fraction(1, _CLOCK)
        self._stream.codec_context.time_base = clock
        self._size, self._ticks = first.shape, -1

    def add(self, pixels: np.ndarray, time: float) -> None:
        """Writes uint8 [height, width, 3], to be shown from `time` on, s."""
        import av

        if pixels.shape != self._size:
            raise ValueError(
                f"the video's frames change from {self._size[1]}x{self._size[0]} to "
                f"{pixels.shape[1]}x{pixels.shape[0]}. Split it there"
            )
        height, width = pixels.shape[:2]
        padding = ((0, height % 2), (0, width % 2), (0, 0))
        frame = av.VideoFrame.from_ndarray(np.pad(pixels, padding, "edge"))
        self._ticks = max(self._ticks + 1, round(time * _CLOCK))
        frame.pts, frame.time_base = self._ticks, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder still holds, and puts the file in its place."""
        with self._stack:
            self._container.mux(self._stream.encode())
