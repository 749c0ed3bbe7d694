"""The files that a prediction leaves: their names, and whose they are."""

import pathlib
import re
from collections.abc import Collection, Iterable

from absl import logging

from model.inference.image_files import ImageFile

SUMMARY = "summary.csv"
# What else is written once a run.
PAGE, ROCKS, COCO = "index.html", "rocks.csv", "coco.json"
# Images of one page; those beyond it go to further pages, which it links.
PAGE_IMAGES = 100
_TABLE = re.compile(r"index(-\d+)?\.html|rocks\.csv|coco\.json")
# Pages say by this, near their beginning, that a run has written them.
GENERATOR = "lunar-rocks predict.py"
_PAGE_BEGINNING = 4096  # Bytes.
# How the names of an image's files end: for image NAME, NAME_mask.png ...
MASK, OVERLAY, UNCERTAINTY = "_mask.png", "_overlay.png", "_uncertainty.png"
PROBABILITIES = "_probabilities.npz"
OVERLAY_VIDEO = "_overlay.mp4"
ENDINGS = (MASK, OVERLAY, UNCERTAINTY, PROBABILITIES, OVERLAY_VIDEO)


def page_name(index: int) -> str:
    """Returns the file name of a page, counted from 0: index.html, index-2.html ..."""
    stem, suffix = PAGE.split(".")
    return f"{stem}-{index + 1}.{suffix}" if index else PAGE


def is_result(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Returns whether a file lies in `folder` and is named as what a run writes there.

    The folder itself does not tell: people's images may lie in it, or below it.
    """
    is_named = path.name.endswith((SUMMARY, *ENDINGS)) or _TABLE.fullmatch(path.name)
    return bool(is_named) and _lies_in(path, folder)


def check_neighbours(
    files: Collection[ImageFile], folder: pathlib.Path, tables: Collection[str] = ()
) -> None:
    """Raises ValueError where a person's own file would be written over.

    That is one in `folder` that is called like a table, or beside its image and called
    like a result of it, where no run has left its summary; or one called like a further
    page that does not say that a run has written it. Tables that stay from an earlier
    run, since this one writes none, are warned of.
    """
    if PAGE in tables:
        for index in range(1, -(-len(files) // PAGE_IMAGES)):
            page = folder / page_name(index)
            if page.exists() and not _is_page(page):
                raise ValueError(
                    f"{page} exists, would be written over, and is no page of an "
                    "earlier run. Pass another --output_dir, or move it away."
                )
    if (folder / SUMMARY).exists():
        for name in (PAGE, ROCKS, COCO):
            if name not in tables and (folder / name).exists():
                logging.warning("%s stays as an earlier run left it", folder / name)
        return
    results = [folder / name for name in tables]
    for file in files:
        if _lies_in(file.path, folder):
            results += [folder / f"{file.name}{ending}" for ending in ENDINGS]
    for result in results:
        if result.exists():
            raise ValueError(
                f"{result} exists and would be written over, and no {SUMMARY} tells "
                "that an earlier run wrote it. Pass another --output_dir, or remove "
                "it if it is a result."
            )


def remove_pages(folder: pathlib.Path, but: Iterable[str]) -> None:
    """Removes the further pages that an earlier run has left in a folder.

    A file of such a name that does not say that a run has written it stays.

    Args:
        folder: of the pages.
        but: file names of those that stay.
    """
    kept = set(but)
    for path in folder.glob("index-*.html"):
        if _TABLE.fullmatch(path.name) and path.name not in kept and _is_page(path):
            path.unlink(missing_ok=True)


def _is_page(path: pathlib.Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return GENERATOR.encode() in file.read(_PAGE_BEGINNING)


def _lies_in(path: pathlib.Path, folder: pathlib.Path) -> bool:
    return path.parent.resolve() == folder.resolve()
