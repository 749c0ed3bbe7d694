"""Frames whose files are not all there."""

from collections.abc import Mapping

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import frame_files, problems
from lunar_tfds.lunar_rocks.sources import Source

# So many frames that lack the same partner are no accident.
MANY_LACKING = 300


def hint(source: Source, bad: Mapping[str, str]) -> str:
    """Returns what to do where frames lack the same partner and nothing else is wrong.

    Args:
        source: where the files are.
        bad: reason by frame id.
    """
    missing = frame_files.missing_partners(source.sizes)
    lacking = {tuple(kinds) for kinds in missing.values()}
    if len(lacking) != 1 or bad.keys() != missing.keys():
        return ""
    kind, *more = lacking.pop()
    frames, _, _ = frame_files.find_frames(source.sizes)
    complete = sum(not frame.is_photo for frame in frames)
    if more or len(missing) <= min(MANY_LACKING, complete):
        return ""
    remedy = f"{problems.LEAVE_OUT_VARIABLE}=1 builds without them"
    others = [other for other in source.masks if other != kind]
    if kind != kaggle_layout.RENDER and others and len(missing) > complete:
        folder = f"{kaggle_layout.IMAGES}/{kind}"
        remedy += f"; or remove {folder} to build with {others[0]} alone"
    return (
        f"{len(missing)} frames lack their {kind} alone, and nothing else is wrong: "
        f"was it removed on purpose? {remedy}."
    )


def no_frame(source: Source) -> str:
    """Returns what to say of a source without a frame that can be used."""
    render, *masks = (kaggle_layout.frame_file(k, "0001") for k in kaggle_layout.KINDS)
    return (
        f"No complete frame in the {source.description}: a frame is {render} with "
        f"{' or '.join(masks)}, or with both."
    )
