"""The starter: a checkpoint that lies in the repository, trained on drawn scenes alone.

`model.export.starter` makes its file.
"""

import pathlib

# What commands call it.
NAME = "starter"
FILE = pathlib.Path(__file__).resolve().parents[2] / "weights" / "starter.keras"
REMEDY = (
    "It is part of this project's repository, not of the installed package: get it by "
    f"`git checkout -- {FILE.parent.name}` in a full clone (`git lfs pull` where LFS "
    "is used), or name a file of your own in its place"
)
# What Git LFS's stand-in for a file begins with.
_POINTER = b"version https://git-lfs"


def starter_file() -> pathlib.Path:
    """Returns the path of the starter's file.

    Raises:
        ValueError: it is missing, or a stand-in lies there; says how to get it.
    """
    if not FILE.is_file():
        raise ValueError(f"the starter's file {FILE} is missing. {REMEDY}")
    with open(FILE, "rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ValueError(f"{FILE} is a pointer of Git LFS. {REMEDY}")
    return FILE
