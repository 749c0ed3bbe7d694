"""Makes the starter's file (see `model.network.starter`) of a training run.

    python -m model.export.starter --checkpoint=runs/starter

Kernels are stored in float16, rounded to 8 significant bits as bfloat16 has them, so
that deflate packs them to 0.4 of the size of float32. They load into float32 variables,
as any checkpoint's.
"""

import dataclasses
import io
import json
import pathlib
import sys
import zipfile
from typing import Any

import h5py
import numpy as np

from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import atomic_path
from lunar_tfds.settings import setting
from model.network import starter
from model.network.checkpoints import DETAILS_ENTRY, load_checkpoint

# Bits of a float16's significand that are dropped: 8 of 11 stay.
_DROPPED = 3
# The entry of a `.keras` zip that holds the weights.
_WEIGHTS_ENTRY = "model.weights.h5"


def write_half(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes a checkpoint with its kernels in float16, whole or not at all.

    The folders of the machine that trained it, which its settings name, stay out.

    Args:
        source: a `.keras` file that train.py wrote.
        target: the file to write.

    Raises:
        ValueError: a kernel is too large for float16.
    """
    with zipfile.ZipFile(source) as archive, atomic_path(target) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as made:
            for entry in archive.infolist():
                data = archive.read(entry)
                if entry.filename == _WEIGHTS_ENTRY:
                    data = _halved(data)
                elif entry.filename == DETAILS_ENTRY:
                    data = json.dumps(_without_folders(json.loads(data))).encode()
                # A fixed time: the same weights make the same file.
                made.writestr(
                    zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED
                )


def _without_folders(value: Any) -> Any:
    """Returns what JSON holds with absolute paths cut to their names."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and pathlib.PurePath(value).is_absolute():
        return pathlib.PurePath(value).name
    return value


def _halved(data: bytes) -> bytes:
    """Returns an HDF5 file whose float32 arrays of two axes and more are float16."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(buffer, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                if values.ndim > 1 and values.dtype == np.float32:
                    with np.errstate(over="ignore"):
                        values = _rounded(values.astype(np.float16))
                    if not np.isfinite(values).all():
                        raise ValueError(f"{name} holds values too large for float16")
                made = new.create_dataset(name, data=values)
            else:
                made = new.require_group(name)
            made.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return buffer.getvalue()


def _rounded(values: np.ndarray) -> np.ndarray:
    """Returns float16 values at 8 significant bits, the nearest ones."""
    bits = values.view(np.uint16) + np.uint16(1 << (_DROPPED - 1))
    return (bits & np.uint16(0xFFFF << _DROPPED & 0xFFFF)).view(np.float16)


@dataclasses.dataclass(frozen=True)
class StarterConfig:
    """What the starter's file is made of."""

    checkpoint: str | None = setting(
        None,
        "A .keras file, or a workdir: its best.",
        is_path=True,
        missing="pass the workdir of a run on drawn scenes",
    )
    output: str = setting(
        str(starter.FILES[starter.NAME]), "File to write.", is_path=True
    )

    def __post_init__(self):
        settings.check(self)


def main(config: StarterConfig) -> None:
    """Writes the file, and loads it once."""
    _, _, source = load_checkpoint(config.checkpoint or "")
    target = pathlib.Path(config.output)
    write_half(source, target)
    model, _, _ = load_checkpoint(target)
    print(
        f"{target}: {target.stat().st_size / 1e6:.1f} MB, {model.count_params():,} "
        f"parameters, from {source.name}"
    )


if __name__ == "__main__":
    sys.exit(command_line.run(StarterConfig, main))
