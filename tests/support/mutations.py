"""Ways to damage a dataset folder: each takes a file of it and a random.Random."""

import shutil

import numpy as np
from PIL import Image, ImageFilter

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import MASKS


def truncate(file, rng):
    """Cuts the file short."""
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data))])


def flip_bytes(file, rng):
    """Changes one to four bytes."""
    data = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= rng.randint(1, 255)
    file.write_bytes(data)


def zero_block(file, rng):
    """Blanks a block, as a failing disk does."""
    data = bytearray(file.read_bytes())
    start = rng.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


def append(file, rng):
    """Adds bytes after the end."""
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.randint(1, 100)))


def drop(file, rng):
    """Deletes the file."""
    del rng
    file.unlink()


def rename(file, rng):
    """Gives the file another frame's number, or another name altogether."""
    stem = file.stem.rstrip("0123456789")
    names = [f"{stem}0009.png", f"{stem}0002.png", f"copy of {file.name}", "x.bin"]
    file.rename(file.with_name(rng.choice(names)))


def resize(file, rng):
    """Saves the picture at another size."""
    size = rng.choice([(719, 480), (480, 720), (1, 1), (1440, 960)])
    Image.open(file).resize(size, Image.Resampling.NEAREST).save(file)


def recolour(file, rng):
    """Shuffles the channels or inverts the picture."""
    pixels = np.array(Image.open(file))
    orders = [(2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0)]
    pixels = 255 - pixels if rng.random() < 0.3 else pixels[..., rng.choice(orders)]
    Image.fromarray(np.ascontiguousarray(pixels)).save(file)


def deviate(file, rng):
    """Gives a mask colours that its kind never has, in all of it or at edges."""
    masks = [path for path in _files(file) if path.name.startswith(("g", "clean"))]
    file = rng.choice(masks)
    image = Image.open(file)
    kind = rng.choice(["gray", "blurred", "darker sky", "noise"])
    if kind == "gray":
        image = image.convert("L").convert("RGB")
    elif kind == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(rng.choice([1, 4, 16])))
    else:
        pixels = np.array(image)
        red = pixels[..., 0]
        if kind == "darker sky":
            red[red > 0] = rng.choice([224, 140, 90])
        else:
            noise = np.random.default_rng(rng.randrange(1000))
            pixels = pixels ^ noise.integers(0, 4, pixels.shape, np.uint8)
        image = Image.fromarray(pixels)
    image.save(file)


def other_mode(file, rng):
    """Saves the picture as another kind of PNG, or as another format."""
    image = Image.open(file)
    kind = rng.choice(["RGBA", "P", "L", "1", "JPEG", "BMP"])
    if kind in ("JPEG", "BMP"):
        image.save(file, kind)
    else:
        image.convert(kind).save(file)


def swap(file, rng):
    """Exchanges the file with another one of the folder."""
    others = [path for path in _files(file) if path != file]
    other = rng.choice(others)
    aside = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(aside)


def text(file, rng):
    """Damages the box file or adds a list of defects that is none."""
    root = _root(file)
    boxes = root / kaggle_layout.BOXES_FILE
    if rng.random() < 0.5:
        flip_bytes(boxes, rng)
    else:
        (root / kaggle_layout.defects_file("shadow")).write_bytes(
            rng.randbytes(rng.randint(0, 30))
        )


MUTATIONS = (
    truncate,
    flip_bytes,
    zero_block,
    append,
    drop,
    rename,
    resize,
    recolour,
    deviate,
    other_mode,
    swap,
    text,
)


def _root(file):
    return next(
        path for path in file.parents if (path / kaggle_layout.BOXES_FILE).exists()
    )


def _files(file):
    return sorted(_root(file).rglob("*.png"))


def mutate(folder, rng):
    """Damages a folder of the dataset; returns how, and the file that was chosen."""
    if rng.random() < 0.2:  # A set of one kind of mask.
        shutil.rmtree(folder / kaggle_layout.IMAGES / rng.choice(MASKS))
    mutation = rng.choice(MUTATIONS)
    file = rng.choice(sorted(folder.rglob("*.png")))
    mutation(file, rng)
    return mutation.__name__, file
