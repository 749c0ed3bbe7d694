"""Measures how far apart sets of pictures lie: real ones, drawn ones, your own.

Run `python -m lunar_tfds.compare FOLDER FOLDER ...`. Each is a folder of the Kaggle
dataset's layout, a folder of any pictures (then what needs masks is left out), or the
data_dir of a built dataset. Folders joined by a comma are one set. Of a folder that
holds renders and photos, the renders count; name its `real_moon_images` for the photos.

The table has median, 10th and 90th percentile of each quantity, and its distance from
the first set: Wasserstein's, over the standard deviation of both sets together (0 for
the same distribution, 1 for one that is shifted by such a deviation).
"""

import dataclasses
import io
import os
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage, stats
from tqdm import tqdm

from lunar_tfds import atomic_files, command_line, kaggle_layout, palette, settings
from lunar_tfds.image_arrays import connected_regions
from lunar_tfds.opening import NAME, open_dataset
from lunar_tfds.settings import setting

WIDTH = 720  # All pictures are measured at this width, px.
LEAST_AREA = 4  # Of a rock that counts, px.
CONTRAST_AREA = 30  # Of a rock whose grey level is compared with the ground's, px.
BLACK = 20  # Grey levels below this are black, of 255.
QUARTERS = ("top", "second", "third", "bottom")  # From the horizon down.
ROCKS = {"small": palette.SMALL_ROCK, "large": palette.LARGE_ROCK}
# Each quantity and its unit, in the order of the table.
QUANTITIES = {
    **{f"{name} rocks a frame": "" for name in ROCKS},
    **{f"diameter of {name} rocks": "px" for name in ROCKS},
    **{f"diameter in the {quarter} quarter": "px" for quarter in QUARTERS},
    "place below the horizon": "of the way down",
    **{f"{name} rock minus ground": "grey levels" for name in ROCKS},
    "black share of rocks": "",
    "black share of ground": "",
    "grey level of ground": "grey levels",
    "spread of ground, p10 to p90": "grey levels",
    "grain of ground": "grey levels",
    **{f"share of {name}": "" for name in palette.CLASS_NAMES},
    "height of the horizon": "of the frame",
}

Frame = tuple[np.ndarray, np.ndarray | None]
Quantities = dict[str, list[float]]


def measure(image: np.ndarray, ids: np.ndarray | None) -> Quantities:
    """Returns what one picture shows.

    Args:
        image: uint8 [H, W, 3].
        ids: uint8 [H, W] class ids, or None.

    Returns:
        dict from a name in QUANTITIES to a list of values: one a frame, or one a rock.
        What the picture does not have is absent.
    """
    height = max(round(image.shape[0] * WIDTH / image.shape[1]), 1)
    grey = np.asarray(
        Image.fromarray(image).convert("L").resize((WIDTH, height)), np.float32
    )
    if ids is None:
        return _measure_ground(grey, np.ones(grey.shape, bool))
    nearest = Image.Resampling.NEAREST
    ids = np.asarray(Image.fromarray(ids).resize((WIDTH, height), nearest))
    found = _measure_ground(grey, ids == palette.GROUND)
    for name, share in zip(palette.CLASS_NAMES, palette.class_shares(ids), strict=True):
        found[f"share of {name}"] = [share]
    sky = ids == palette.SKY
    # In each column, the lowest row of sky.
    horizon = np.where(sky.any(0), height - sky[::-1].argmax(0), 0)
    found["height of the horizon"] = [1 - np.median(horizon) / height]
    is_rock = (ids == palette.SMALL_ROCK) | (ids == palette.LARGE_ROCK)
    if is_rock.any():
        found["black share of rocks"] = [np.mean(grey[is_rock] < BLACK)]
    for name, rock in ROCKS.items():
        for key, values in _measure_rocks(grey, ids, rock, horizon, name).items():
            found.setdefault(key, []).extend(values)
    return found


def _measure_ground(grey, ground):
    """Returns the quantities of the pixels that are ground."""
    levels = grey[ground]
    if not levels.size:
        return {}
    low, middle, high = np.percentile(levels, (10, 50, 90))
    found = {
        "black share of ground": [np.mean(levels < BLACK)],
        "grey level of ground": [middle],
        "spread of ground, p10 to p90": [high - low],
    }
    lit = ground & (grey >= BLACK)
    if lit.any():
        fine = grey - ndimage.uniform_filter(grey, 5)
        found["grain of ground"] = [fine[lit].std()]
    return found


def _measure_rocks(grey, ids, rock, horizon, name):
    """Returns the quantities of the rocks of one class."""
    regions, areas = connected_regions(ids == rock)
    found: Quantities = {f"{name} rocks a frame": [int((areas >= LEAST_AREA).sum())]}
    boxes = ndimage.find_objects(regions)
    for number in np.nonzero(areas >= LEAST_AREA)[0]:
        rows, columns = boxes[number]
        diameter = 2 * np.sqrt(areas[number] / np.pi)
        found.setdefault(f"diameter of {name} rocks", []).append(diameter)
        top = horizon[(columns.start + columns.stop) // 2]
        down = ((rows.start + rows.stop) / 2 - top) / max(len(grey) - top, 1)
        down = float(np.clip(down, 0, 1))
        found.setdefault("place below the horizon", []).append(down)
        quarter = QUARTERS[min(int(down * 4), 3)]
        found.setdefault(f"diameter in the {quarter} quarter", []).append(diameter)
        if areas[number] < CONTRAST_AREA:
            continue
        margin = max(4, round(diameter / 2))
        near = tuple(
            slice(max(s.start - margin, 0), s.stop + margin) for s in boxes[number]
        )
        around = grey[near][ids[near] == palette.GROUND]
        if around.size > 10:
            inside = grey[near][regions[near] == number + 1]
            contrast = float(inside.mean() - np.median(around))
            found.setdefault(f"{name} rock minus ground", []).append(contrast)
    return found


def read_frames(source: str) -> Iterator[Frame]:
    """Yields (image, class ids or None) of each picture of a set.

    Args:
        source: folders or data_dirs, joined by commas.

    Raises:
        ValueError: there is no picture, or one cannot be read.
    """
    for part in source.split(","):
        root = pathlib.Path(part).expanduser()
        if not root.is_dir():
            raise ValueError(f"{part} must be a folder: nothing like it is there.")
        if (root / NAME).is_dir():
            yield from _of_dataset(root)
            continue
        pictures = list(_of_folder(root))
        if not pictures:
            raise ValueError(f"{part} holds no picture: name a folder of PNG or JPEG.")
        for image, mask in tqdm(pictures, desc=root.name, unit="frame", leave=False):
            ids = None if mask is None else palette.class_ids(_read(mask))
            yield _read(image), ids


def _of_dataset(data_dir):
    """Yields the renders of a built dataset, or its photos where it has no other."""
    builder = open_dataset(data_dir)
    splits = [name for name in builder.info.splits if name != "real"] or ["real"]
    mask = kaggle_layout.mask_name(builder.info.metadata["masks"][0])
    dataset = builder.as_dataset(split="+".join(splits))
    for example in dataset.as_numpy_iterator():
        yield example["image"], example[mask][..., 0]


def _of_folder(root):
    """Yields (picture, mask or None) of the renders, else photos, else any pictures."""
    kinds: dict[str, dict[str, pathlib.Path]] = {}
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        parsed = kaggle_layout.parse(f"{_folder_of(path)}/{path.name}")
        if parsed:
            kinds.setdefault(parsed[0], {})[parsed[1]] = path
    masks = kinds.get(kaggle_layout.GROUND, kinds.get(kaggle_layout.CLEAN, {}))
    if renders := kinds.get(kaggle_layout.RENDER):
        yield from ((path, masks.get(number)) for number, path in renders.items())
    elif photos := kinds.get(kaggle_layout.PHOTO):
        masks = kinds.get(kaggle_layout.PHOTO_MASK, {})
        yield from ((path, masks.get(name)) for name, path in photos.items())
    else:
        suffixes = (".png", ".jpg", ".jpeg")
        yield from ((path, None) for path in files if path.suffix.lower() in suffixes)


def _folder_of(path):
    """Returns the folder of the dataset that a file lies in, as `parse` wants it."""
    parent = path.parent.name.lower()
    return "real_moon_images" if parent == "real_moon_images" else f"images/{parent}"


def _name(source):
    """Returns the last parts of a set's paths."""
    return "+".join(os.path.basename(os.path.abspath(p)) for p in source.split(","))


def _read(path):
    """Returns uint8 [H, W, 3]."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow's errors for broken files.
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def measure_set(source: str) -> Quantities:
    """Returns the quantities of all pictures of a set, see `measure`."""
    total: Quantities = {}
    for image, ids in read_frames(source):
        for name, values in measure(image, ids).items():
            total.setdefault(name, []).extend(values)
    return total


def distance(first: list[float], second: list[float]) -> float:
    """Returns Wasserstein's distance over the pooled standard deviation, 0 if equal."""
    spread = np.std([*first, *second])
    if spread == 0:
        return 0.0
    return float(stats.wasserstein_distance(first, second) / spread)


def format_table(names: list[str], sets: list[Quantities]) -> str:
    """Returns the table, a line for each quantity that some set has."""
    head = f"{'median (p10 to p90)':<42}"
    lines = [head + "".join(f"{name[-28:]:>30}{'apart':>7}" for name in names)]
    for quantity, unit in QUANTITIES.items():
        if not any(quantity in one for one in sets):
            continue
        line = f"{f'{quantity}, {unit}' if unit else quantity:<42}"
        for one in sets:
            values = one.get(quantity)
            cell, apart = "absent", ""
            if values:
                low, middle, high = np.percentile(values, (10, 50, 90))
                digits = 3 if high < 2 else 1
                cell = f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
                if one is not sets[0] and quantity in sets[0]:
                    apart = f"{distance(sets[0][quantity], values):.2f}"
            line += f"{cell:>30}{apart:>7}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def draw_figure(names: list[str], sets: list[Quantities]) -> bytes:
    """Returns a PNG: a panel for each quantity, with a box for each set."""
    from matplotlib.figure import Figure  # Half a second, which a table alone spares.

    shown = [q for q in QUANTITIES if any(q in one for one in sets)]
    rows = -(-len(shown) // 4)
    figure = Figure(figsize=(14, 1.1 * rows + 0.32 * rows * len(sets)))
    grid = figure.subplots(rows, 4, squeeze=False).ravel()
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes, quantity in zip(grid, shown, strict=False):
        axes.boxplot(
            [one.get(quantity, []) for one in sets],
            orientation="horizontal",
            whis=(10, 90),
            showfliers=False,
            tick_labels=[name[-18:] for name in names],
        )
        axes.invert_yaxis()
        unit = QUANTITIES[quantity]
        axes.set_title(f"{quantity}, {unit}" if unit else quantity, fontsize=9)
        axes.tick_params(labelsize=8)
        if quantity.startswith("diameter"):
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks([3, 10, 30, 100], ["3", "10", "30", "100"])
    figure.suptitle("Boxes: quartiles and median; whiskers: 10th and 90th percentile")
    figure.tight_layout()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Which sets to compare."""

    POSITIONAL = "sets"

    sets: tuple = setting(
        (), "Folders of pictures or data_dirs; the others are held to the first."
    )
    output: str | None = setting(None, "Figure to write, a PNG.", is_path=True)

    def __post_init__(self):
        settings.check(self)
        if not self.sets:
            raise ValueError("--sets must be given: name one folder or more")


def main(comparison: Comparison) -> None:
    """Measures the sets, prints the table, and draws the figure if asked to."""
    names = [_name(source) for source in comparison.sets]
    sets = [measure_set(source) for source in comparison.sets]
    print(format_table(names, sets))
    if comparison.output:
        atomic_files.write_bytes(comparison.output, draw_figure(names, sets))
        print(f"Figure: {comparison.output}")


if __name__ == "__main__":
    sys.exit(command_line.run(Comparison, main))
