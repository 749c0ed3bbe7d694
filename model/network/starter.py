"""The starters: checkpoints that lie in the repository, trained on drawn scenes alone.

`tools/starter.py` makes their files.
"""

import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "weights"
# What commands call the one on VGG16, and the one on EfficientNet-Lite0.
NAME, LITE_NAME = "starter", "starter_lite"
FILES = {name: FOLDER / f"{name}.keras" for name in (NAME, LITE_NAME)}
REMEDY = (
    "It is part of this project's repository, not of the installed package: get it by "
    f"`git checkout -- {FOLDER.name}` in a full clone (`git lfs pull` where LFS "
    "is used), or name a file of your own in its place"
)
# What Git LFS's stand-in for a file begins with.
_POINTER = b"version https://git-lfs"


def starter_file(name: str = NAME) -> pathlib.Path:
    """Returns the path of a starter's file.

    Args:
        name: a key of FILES.

    Raises:
        ValueError: it is missing, or a stand-in lies there; says how to get it.
    """
    path = FILES[name]
    if not path.is_file():
        raise ValueError(f"the starter's file {path} is missing. {REMEDY}")
    with open(path, "rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ValueError(f"{path} is a pointer of Git LFS. {REMEDY}")
    return path
