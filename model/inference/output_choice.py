"""Which results a run leaves, and the outputs that write them."""

import dataclasses
import pathlib

from lunar_tfds.settings import check, setting
from model.inference import result_files
from model.inference.coco import FORMATS
from model.inference.outputs import Output, Pictures, Summary
from model.inference.overlay_videos import OverlayVideos
from model.inference.page import Page, PageInfo
from model.inference.rock_files import CocoFile, RockTable
from model.network.extras import need


@dataclasses.dataclass(frozen=True)
class OutputChoice:
    """What a run leaves besides its summary."""

    masks: bool = setting(True, "Write NAME_mask.png of each photo.")
    overlays: bool = setting(True, "Write NAME_overlay.png of each photo.")
    save_probabilities: bool = setting(
        False, "Also write NAME_probabilities.npz: float16 [height, width, classes]."
    )
    save_uncertainty: bool = setting(
        False,
        "Also write NAME_uncertainty.png: entropy, black certain, white guessing.",
    )
    page: bool = setting(True, "Write index.html, to look at the results.")
    rocks: bool = setting(True, "Write rocks.csv, a row a rock.")
    coco: bool = setting(True, "Write coco.json, the rocks for annotation tools.")
    coco_format: str = setting(
        "rle",
        "How coco.json holds a rock's pixels; polygons for tools that read no rle.",
        choices=FORMATS,
    )
    video: bool = setting(True, "Write NAME_overlay.mp4 of each video.")

    def __post_init__(self):
        check(self)

    @property
    def tables(self) -> list[str]:
        """The files, besides the summary, that the run writes once."""
        asked = {
            result_files.PAGE: self.page,
            result_files.ROCKS: self.rocks,
            result_files.COCO: self.coco,
        }
        return [name for name, written in asked.items() if written]


def build_outputs(
    choice: OutputChoice, folder: pathlib.Path, weights: str, min_rock_area: int
) -> list[Output]:
    """Returns what writes the chosen results and the summary into a folder.

    Args:
        choice: which.
        folder: where.
        weights: the checkpoint's file, for the page to name.
        min_rock_area: px; smaller rocks are neither counted nor listed.

    Raises:
        ValueError: a package is missing.
    """
    outputs: list[Output] = [
        Pictures(
            folder,
            masks=choice.masks,
            overlays=choice.overlays,
            save_probabilities=choice.save_probabilities,
            save_uncertainty=choice.save_uncertainty,
        )
    ]
    if choice.video:
        outputs.append(OverlayVideos(folder))
    outputs.append(Summary(folder, min_rock_area))
    if choice.rocks:
        outputs.append(RockTable(folder, min_rock_area))
    if choice.coco:
        need("pycocotools", "coco.json (--nococo leaves it out)")
        if choice.coco_format == "polygons":
            need("contourpy", "coco.json in polygons (--coco_format=rle does without)")
        outputs.append(CocoFile(folder, min_rock_area, choice.coco_format))
    if choice.page:
        need("jinja2", "index.html (--nopage leaves it out)")
        links = result_files.SUMMARY, *choice.tables
        info = PageInfo(weights, min_rock_area, links, choice.video, choice.overlays)
        outputs.append(Page(folder, info))
    return outputs
