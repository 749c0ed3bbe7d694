"""What others feed a segmentation network with, on the same files.

Free of TensorFlow, so that PyTorch's worker processes start quickly.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

# PyTorch imports Triton, whose LLVM ends a process that has TensorFlow's. Nothing is
# compiled here.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]


def python_generator(
    pairs: list[tuple[str, str]], size: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields endless batches as the usual Keras tutorial makes them.

    PIL decodes and resizes, numpy scales to [0, 1]; one process, no augmentation.
    """
    endless = itertools.cycle(pairs)
    while True:
        images, masks = [], []
        for image_path, ids_path in itertools.islice(endless, batch_size):
            image = Image.open(image_path).convert("RGB").resize((size, size))
            ids = Image.open(ids_path).resize((size, size), Image.Resampling.NEAREST)
            images.append(np.asarray(image, np.float32) / 255.0)
            masks.append(np.asarray(ids, np.int32))
        yield np.stack(images), np.stack(masks)


class FolderDataset:
    """A PyTorch map-style dataset of image and mask files, augmented."""

    def __init__(
        self, pairs: list[tuple[str, str]], size: int, strength: dict[str, float]
    ):
        """Makes the transform.

        Args:
            pairs: [(image path, path of a PNG of class ids)].
            size: side of the output, px.
            strength: dict of the fields of `augmentation.Augmentation`.
        """
        import albumentations
        import cv2

        cv2.setNumThreads(0)  # As in PyTorch's worker processes: one thread each.
        self._pairs = pairs
        shift, zoom = strength["shift"], 1 + strength["scale"]
        self._transform = albumentations.Compose(
            [
                albumentations.Resize(size, size),
                albumentations.HorizontalFlip(p=strength["horizontal_flip"]),
                albumentations.Affine(
                    rotate=(-strength["rotation"], strength["rotation"]),
                    translate_percent=(-shift, shift),
                    scale=(1 / zoom, zoom),
                    keep_ratio=True,
                    border_mode=cv2.BORDER_REFLECT,
                    p=1.0,
                ),
                albumentations.RandomBrightnessContrast(
                    brightness_limit=strength["brightness"],
                    contrast_limit=strength["contrast"],
                    p=1.0,
                ),
            ]
        )

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        """Returns an image float32 [3, size, size] in [0, 1] and its mask int64."""
        import cv2
        import torch

        image_path, ids_path = self._pairs[index]
        image = cv2.cvtColor(cv2.imread(image_path), cv2.COLOR_BGR2RGB)
        ids = cv2.imread(ids_path, cv2.IMREAD_GRAYSCALE)
        done = self._transform(image=image, mask=ids)
        image = torch.from_numpy(np.ascontiguousarray(done["image"].transpose(2, 0, 1)))
        return image.float() / 255.0, torch.from_numpy(done["mask"]).long()


class TensorDataset:
    """A PyTorch map-style dataset that decodes with torchvision, for its transforms."""

    def __init__(self, pairs: list[tuple[str, str]], transform: Any = None):
        """Keeps `pairs` and the transform of an image and a mask, both tensors."""
        import torch

        torch.set_num_threads(1)
        self._pairs, self._transform = pairs, transform

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        """Returns uint8 [3, H, W] and [1, H, W], or what is made of them."""
        from torchvision import io, tv_tensors

        image, ids = (io.decode_png(io.read_file(path)) for path in self._pairs[index])
        image, ids = tv_tensors.Image(image), tv_tensors.Mask(ids)
        return self._transform(image, ids) if self._transform else (image, ids)


def torchvision_transform(size: int, strength: dict[str, float]) -> Any:
    """Returns torchvision's `transforms.v2` of an image and its mask."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    shift, zoom = strength["shift"], 1 + strength["scale"]
    types = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}
    return v2.Compose(
        [
            v2.Resize((size, size), antialias=False),
            v2.RandomHorizontalFlip(strength["horizontal_flip"]),
            v2.RandomAffine(
                strength["rotation"],
                (shift, shift),
                (1 / zoom, zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.ColorJitter(strength["brightness"], strength["contrast"]),
            v2.ToDtype({**types, "others": None}, scale=True),
        ]
    )


def data_loader(
    dataset: Any, batch_size: int, workers: int
) -> tuple[Iterator, list[int]]:
    """Returns (endless iterator of batches, process ids of the workers).

    Args:
        dataset: a PyTorch map-style dataset that can be pickled.
        batch_size: examples of a batch.
        workers: how many processes.
    """
    import torch

    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=torch.utils.data.RandomSampler(range(len(dataset)), True, 1 << 24),
        num_workers=workers,
        drop_last=True,
        multiprocessing_context="spawn",  # Forking beside TensorFlow's threads hangs.
    )
    batches = iter(loader)
    return batches, [worker.pid for worker in batches._workers]


def kornia_batches(
    batches: Iterator, size: int, strength: dict[str, float]
) -> Iterator:
    """Yields batches of a `TensorDataset` that Kornia resizes and augments at once."""
    import kornia.augmentation as K
    import torch

    shift, zoom = strength["shift"], 1 + strength["scale"]
    brightness, contrast = strength["brightness"], strength["contrast"]
    augment = K.AugmentationSequential(
        K.Resize((size, size)),
        K.RandomHorizontalFlip(p=strength["horizontal_flip"]),
        K.RandomAffine(
            strength["rotation"],
            (shift, shift),
            (1 / zoom, zoom),
            padding_mode="reflection",
            p=1.0,
        ),
        K.ColorJiggle(brightness, contrast, p=1.0),
        data_keys=["input", "mask"],
    )
    for images, ids in batches:
        with torch.no_grad():
            done, masks = augment(images.float() / 255.0, ids.float())
        yield done, masks.long()


def grain_batches(dataset: Any, batch_size: int, workers: int) -> Iterator:
    """Yields endless batches that Grain makes of a `FolderDataset` in processes."""
    import grain

    examples = grain.MapDataset.source(range(len(dataset))).shuffle(seed=0).repeat()
    examples = examples.map(GrainTransform(dataset))
    # By default it reads 500 elements ahead: in each process, gigabytes.
    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2 * batch_size)
    options = grain.MultiprocessingOptions(num_workers=workers)
    batches = examples.to_iter_dataset(ahead).batch(batch_size)
    yield from batches.mp_prefetch(options)


class GrainTransform:
    """A `FolderDataset` by index, as numpy arrays; Grain sends it to its processes."""

    def __init__(self, dataset: FolderDataset):
        self._dataset = dataset

    def __call__(self, index: int) -> tuple[np.ndarray, ...]:
        """Returns image and mask as numpy arrays."""
        return tuple(part.numpy() for part in self._dataset[index])


def opencv_warp(size: int, batch_size: int, source_size: tuple[int, int]) -> Iterator:
    """Yields endless batches of one affine of image and mask, one thread.

    The pixels stay uint8: OpenCV is spared what the pipeline's warp does besides, the
    change to float32, brightness, contrast and clipping.
    """
    import cv2

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*source_size, 3), np.uint8)
    ids = rng.integers(0, 4, source_size, np.uint8)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), 5, 1.0)
    matrix[0] *= source_size[1] / size
    matrix[1] *= source_size[0] / size
    while True:
        for _ in range(batch_size):
            for pixels, method in ((image, cv2.INTER_LINEAR), (ids, cv2.INTER_NEAREST)):
                cv2.warpAffine(
                    pixels,
                    matrix,
                    (size, size),
                    flags=method | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REFLECT,
                )
        yield batch_size
