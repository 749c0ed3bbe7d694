"""index.html: what a run found, as pages that need no network."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from lunar_tfds import palette
from lunar_tfds.atomic_files import atomic_path
from model.inference import pictures, result_files, theme
from model.inference.outputs import Result, Source, where
from model.inference.result_names import printable
from model.inference.rocks import ROCK_IDS, Rock, size_class, size_names
from model.inference.spool import Spool
from model.inference.video import VideoFrame

# Widths of pictures, px.
PICTURE_WIDTH, THUMBNAIL_WIDTH = 720, 168

TEMPLATE = "page.html.j2"


@dataclasses.dataclass(frozen=True)
class PageInfo:
    """What the pages say about the run.

    Attributes:
        weights: the checkpoint's file.
        min_rock_area: px; smaller rocks are not counted.
        links: file names of the run's tables; the page itself is left out.
        videos: whether a video's NAME_overlay.mp4 lies beside the page, too.
        overlays: whether a photo's NAME_overlay.png does.
    """

    weights: str
    min_rock_area: int
    links: tuple[str, ...] = ()
    videos: bool = True
    overlays: bool = True


class Page:
    """index.html, and index-2.html and so on from `PAGE_IMAGES` images on.

    Args:
        folder: where.
        info: what to say about the run.
    """

    def __init__(self, folder: pathlib.Path, info: PageInfo):
        self._folder, self._info = folder, info
        self._cards, self._errors = Spool(), Spool()
        self._sizes = np.zeros((len(ROCK_IDS), len(size_names())), np.int64)
        self._shares = np.zeros(palette.NUM_CLASSES)
        self._images = self._frames = 0  # Frames of videos are images, too.
        self._video: _Video | None = None  # That is being read.

    def make(self, result: Result) -> dict[str, Any]:
        """Returns an image's part of its page: pictures, shares and rocks."""
        rocks = result.rocks(self._info.min_rock_area)
        made = {
            "size": list(result.prediction.mask.shape),
            "shares": palette.class_shares(result.prediction.mask).tolist(),
            "sizes": _rocks_by_size(rocks).tolist(),
        }
        if isinstance(result.file, VideoFrame):
            link = printable(f"{result.name}{result_files.OVERLAY_VIDEO}")
            # The first frame stands for the video.
            shown = _pictures(result) if result.file.index == 0 else {}
            return made | shown | {"link": link, "is_video": True}
        link = printable(f"{result.name}{result_files.OVERLAY}")
        return made | _pictures(result) | {"link": link, "is_video": False}

    def add(self, file: Source, made: dict[str, Any]) -> None:
        """Takes an image's part, or adds a frame to that of its video."""
        self._images += 1
        self._sizes += made["sizes"]
        self._shares += made["shares"]
        if not isinstance(file, VideoFrame):
            self._end_video()
            self._append(file, made)
            return
        self._frames += 1
        if self._video and self._video.file.video is file.video:
            self._video.add(file, made)
        else:
            self._end_video()
            self._video = _Video(file, made)

    def fail(self, file: Source, error: str) -> None:
        """Takes note of an image that was left out."""
        row = {**where(file), "image": printable(file.relative)}
        self._errors.append(row | {"error": printable(error)})

    def close(self) -> None:
        """Writes all pages, the first last: it links the others.

        Pages of an earlier run beyond these are removed.
        """
        self._end_video()
        count = max(-(-len(self._cards) // result_files.PAGE_IMAGES), 1)
        environment = theme.environment(pathlib.Path(__file__).parent)
        template = environment.get_template(TEMPLATE)
        for index in reversed(range(count)):
            with (
                atomic_path(self._folder / result_files.page_name(index)) as path,
                open(path, "w", encoding="utf-8") as file,
            ):
                file.writelines(template.generate(self._values(index, count)))
        written = map(result_files.page_name, range(count))
        result_files.remove_pages(self._folder, but=written)

    def _end_video(self) -> None:
        if self._video:
            self._append(self._video.file, self._video.card())
        self._video = None

    def _append(self, file: Source, card: dict[str, Any]) -> None:
        number, image = len(self._cards) + 1, printable(file.relative)
        self._cards.append({"number": number, "image": image, **card})

    def _values(self, index: int, count: int) -> dict[str, Any]:
        """Returns what the template of the page `index` of `count` is given."""
        first = index * result_files.PAGE_IMAGES
        return {
            "info": self._info,
            "generator": result_files.GENERATOR,
            "links": [n for n in self._info.links if n != result_files.PAGE],
            "index": index,
            "pages": [result_files.page_name(page) for page in range(count)],
            "page_images": result_files.PAGE_IMAGES,
            "num_cards": len(self._cards),
            "num_images": self._images,
            "num_frames": self._frames,
            "num_errors": len(self._errors),
            "errors": self._errors.values,
            # Called twice by the template, which holds one card at a time.
            "cards": functools.partial(
                self._cards.values, first, first + result_files.PAGE_IMAGES
            ),
            "shares": (self._shares / max(self._images, 1)).tolist(),
            "sizes": self._sizes.tolist(),
            "size_names": size_names(),
            "class_names": palette.CLASS_NAMES,
            "class_colors": palette.CLASS_COLORS,
            "rock_names": [palette.CLASS_NAMES[i] for i in ROCK_IDS],
            "rock_colors": [palette.CLASS_COLORS[i] for i in ROCK_IDS],
            "themes": theme.THEMES,
        }


class _Video:
    """The part of a video in its page, which grows frame by frame.

    Attributes:
        file: its first frame.
    """

    def __init__(self, file: VideoFrame, made: dict[str, Any]):
        self.file = file
        self._made = made
        self._shares = np.zeros(palette.NUM_CLASSES)
        self._times: list[float] = []
        self._counts: list[list[int]] = []  # Of each rock class, frame by frame.
        self.add(file, made)

    def add(self, file: VideoFrame, made: dict[str, Any]) -> None:
        """Adds a frame."""
        self._shares += made["shares"]
        self._times.append(file.time)
        self._counts.append([sum(row) for row in made["sizes"]])

    def card(self) -> dict[str, Any]:
        """Returns the part: pictures and sizes of the first frame, shares of all."""
        return self._made | {
            "shares": (self._shares / len(self._times)).tolist(),
            "times": self._times,
            "counts": self._counts,
        }


def _pictures(result: Result) -> dict[str, str]:
    """Returns an image, what is laid over it, and a small overlay, as addresses."""
    photo = pictures.fit(result.image, PICTURE_WIDTH, photo=True)
    mask = pictures.fit(result.prediction.mask, PICTURE_WIDTH)
    thumbnail = pictures.overlay(photo, mask)
    return {
        "photo": pictures.data_uri(photo, width=PICTURE_WIDTH, photo=True),
        "layer": pictures.layer_uri(mask, width=PICTURE_WIDTH),
        "thumbnail": pictures.data_uri(thumbnail, width=THUMBNAIL_WIDTH, photo=True),
    }


def _rocks_by_size(rocks: list[Rock]) -> np.ndarray:
    """Returns how many there are, int64 [rock classes, size classes]."""
    counts = np.zeros((len(ROCK_IDS), len(size_names())), np.int64)
    kinds = [ROCK_IDS.index(rock.class_id) for rock in rocks]
    areas = np.array([rock.area for rock in rocks], np.int64)
    np.add.at(counts, (np.array(kinds, int), size_class(areas)), 1)
    return counts
