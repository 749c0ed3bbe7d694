"""The page of `python app.py`: photos in, overlays, shares and rocks out."""

import dataclasses
import functools
import logging
import os
import pathlib
from typing import Any

import gradio as gr
import numpy as np

from lunar_tfds import image_arrays as masks
from lunar_tfds import palette
from model.inference import pictures, rock_files
from model.inference.images import read_image
from model.inference.predictor import Predictor
from model.inference.result_names import printable
from model.inference.rocks import find_rocks
from model.inference.segmenting import message_of

# Photos of one upload; more are predict.py's work.
MAX_PHOTOS = 20
MAX_FILE_SIZE = "200mb"
# Widths of pictures, px; the masks are found at the photo's own size.
SHOWN_WIDTH, THUMBNAIL_WIDTH = 1400, 240
# s after which files and photos of a visitor who left are forgotten.
KEPT = 3600
# The columns of rocks.csv from `id` on.
COLUMNS = rock_files.COLUMNS[2:]


@dataclasses.dataclass(frozen=True)
class Photo:
    """What is kept of a photo while its page is open.

    Attributes:
        name: the file's.
        image: uint8 [height, width, 3], at most `SHOWN_WIDTH` wide.
        mask: uint8 [height, width], class ids.
        shares: of each class, 0 to 1, in the whole photo.
        rocks: rows of `COLUMNS`, px of the whole photo.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    shares: list[float]
    rocks: list[list[Any]]

    def overlay(self, opacity: float) -> np.ndarray:
        """Returns the image tinted by class; 0 leaves it as it is, 1 shows colours."""
        border = opacity * pictures.BORDER_STRENGTH / pictures.OVERLAY_STRENGTH
        return masks.overlay(self.image, self.mask, opacity, min(border, 1))


def build(weights: list[str], *, min_rock_area: int, tile: bool, tta: bool) -> Any:
    """Returns the app, a `gradio.Blocks`.

    Args:
        weights: checkpoints to choose from, the first of them at first.
        min_rock_area: px; smaller rocks are not listed.
        tile: see `Predictor`.
        tta: see `Predictor`.

    Raises:
        ValueError: the first checkpoint cannot be loaded.
    """

    @functools.lru_cache(maxsize=2)
    def predictor(name: str) -> Predictor:
        return Predictor(name, tile=tile, tta=tta)

    predictor(weights[0])  # What is wrong with it is told before the page opens.

    def segment(files: list[str] | None, name: str, progress=gr.Progress()) -> tuple:  # noqa: B008
        photos = []
        files = files or []
        if len(files) > MAX_PHOTOS:
            gr.Warning(f"Only {MAX_PHOTOS} photos are shown. predict.py takes more.")
        for file in progress.tqdm(files[:MAX_PHOTOS], unit="photo"):
            try:
                photos.append(_segment(predictor(name), file, min_rock_area))
            except Exception as error:  # One bad photo leaves the others.
                gr.Warning(f"{printable(pathlib.Path(file).name)}: {message_of(error)}")
        return photos, 0

    def show(photos: list[Photo], index: int, opacity: float) -> tuple:
        if not photos:
            return gr.Gallery(visible=False), None, None, "", []
        shares = zip(palette.CLASS_NAMES, photos[index].shares, strict=True)
        return (
            gr.Gallery(_thumbnails(photos), visible=len(photos) > 1),
            photos[index].overlay(opacity),
            {name.replace("_", " "): share for name, share in shares},
            f"{len(photos[index].rocks)} rocks in {photos[index].name}",
            photos[index].rocks,
        )

    def select(event: gr.SelectData) -> int:
        return event.index

    def tint(photos: list[Photo], index: int, opacity: float) -> np.ndarray | None:
        return photos[index].overlay(opacity) if photos else None

    with gr.Blocks(
        title="Lunar rocks", analytics_enabled=False, delete_cache=(KEPT, KEPT)
    ) as app:
        photos = gr.State([], time_to_live=KEPT)
        index = gr.State(0)
        gr.Markdown("# Lunar rocks\nGround, sky, small and large rocks in your photos.")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                files = gr.File(
                    label="Photos", file_count="multiple", elem_id="photos", height=180
                )
                name = gr.Dropdown(
                    weights, value=weights[0], label="Weights", elem_id="weights"
                )
                opacity = gr.Slider(
                    *(0, 1, pictures.OVERLAY_STRENGTH),
                    step=0.05,
                    label="Opacity of the overlay",
                    elem_id="opacity",
                )
                shares = gr.Label(label="Classes", show_heading=False, elem_id="shares")
            with gr.Column(scale=3):
                overlay = gr.Image(
                    label="Overlay",
                    format="jpeg",
                    interactive=False,
                    buttons=["download", "fullscreen"],  # Not to share it on a hub.
                    elem_id="overlay",
                )
                gallery = gr.Gallery(
                    label="All photos",
                    columns=6,
                    height=170,
                    fit_columns=False,
                    allow_preview=False,
                    buttons=[],
                    visible=False,
                    elem_id="gallery",
                )
                count = gr.Markdown(elem_id="count")
                table = gr.Dataframe(
                    headers=[column.replace("_", " ") for column in COLUMNS],
                    label="Rocks, the largest first; px of the photo",
                    interactive=False,
                    elem_id="rocks",
                )
        shown = [gallery, overlay, shares, count, table]
        found = gr.on(
            [files.change, name.change], segment, [files, name], [photos, index]
        )
        found.then(show, [photos, index, opacity], shown)
        chosen = gallery.select(select, None, index)
        chosen.then(show, [photos, index, opacity], shown)
        opacity.input(
            tint,
            *([photos, index, opacity], overlay),
            show_progress="hidden",
            trigger_mode="always_last",
        )
    return app


def launch(app: Any, host: str, port: int) -> str:
    """Starts the server in threads of its own, and returns its address.

    Raises:
        OSError: the port is taken, or the address is none of this machine.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # It logs each request.
    # Gradio asks itself whether it runs: not through the user's proxy.
    around = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), host]
    os.environ["no_proxy"] = ",".join(filter(None, (*around, "localhost", "127.0.0.1")))
    os.environ["NO_PROXY"] = os.environ["no_proxy"]
    try:
        _, address, _ = app.launch(
            server_name=host,
            server_port=port or None,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            max_file_size=MAX_FILE_SIZE,
            footer_links=[],
            # The default theme's fonts would be fetched.
            theme=gr.themes.Default(font="system-ui", font_mono="monospace"),
        )
    except OSError as error:
        raise OSError(
            f"port {port or 'any'} of {host} cannot be listened at: it is taken, or "
            "the address is not this machine's. Pass another --port or --host"
        ) from error
    return address


def _segment(predictor: Predictor, file: str, min_rock_area: int) -> Photo:
    path = pathlib.Path(file)
    image = read_image(path)
    (prediction,) = predictor.predict_each([image])
    mask, rocks = prediction.mask, find_rocks(*prediction, min_rock_area)
    return Photo(
        name=printable(path.name),
        image=pictures.fit(image, SHOWN_WIDTH, photo=True),
        mask=pictures.fit(mask, SHOWN_WIDTH),
        shares=palette.class_shares(mask).tolist(),
        rocks=rock_files.rows(rocks),
    )


def _thumbnails(photos: list[Photo]) -> list[tuple[np.ndarray, str]]:
    return [
        (
            pictures.fit(
                photo.overlay(pictures.OVERLAY_STRENGTH), THUMBNAIL_WIDTH, photo=True
            ),
            photo.name,
        )
        for photo in photos
    ]
