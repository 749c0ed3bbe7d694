"""Model card: what a trained network is, what it was trained on, and its limits.

    python -m model.evaluation.model_card --checkpoint=RUN --metrics=metrics.json

Sections follow Mitchell et al. 2019, "Model Cards for Model Reporting"; the header is
the one that model hubs read.
"""

import dataclasses
import pathlib
import sys
from typing import Any

from absl import logging

from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import write_text
from lunar_tfds.settings import setting
from model.evaluation.summary import SCORE_NAMES, read_metrics
from model.inference.predictor import checkpoint_setting
from model.network.checkpoints import load_checkpoint
from model.network.cost import BlockCost, block_costs
from model.network.unet import DEFAULT_ENCODER
from pipeline.resize import output_size

HEADER = """\
---
license: cc-by-nc-sa-4.0
library_name: keras
pipeline_tag: image-segmentation
tags: [moon, rock-segmentation, semantic-segmentation]
---

# {network} for lunar rocks
"""

# Of each encoder: the name of the network, and what it is.
NETWORKS = {
    "vgg16": (
        "VGG16-UNet",
        "VGG16 encoder up to block5_conv3, four decoder levels of transposed "
        "convolution, skip and convolution",
    ),
    "efficientnet_lite0": (
        "EfficientNet-Lite0-UNet",
        "EfficientNet-Lite0 encoder, five decoder levels of transposed convolution, "
        "skip and separable convolutions",
    ),
}

USE = """\
## Intended use

Research on rock detection and terrain segmentation for lunar rovers, and teaching. It
is no safety system: do not drive a vehicle by it alone.
"""

DATA = """\
## Training data

The Artificial Lunar Rocky Landscape Dataset (R. Pessia, G. Ishigami, Q. Jodelet, Space
Robotics Group, Keio University; DOI 10.34740/kaggle/dsv/489236): 9,766 computer-made
scenes of 720x480 px with masks; or scenes in its layout, where the copy named below was
built from others.
"""

LICENSE = """\
## Licence

The dataset's renders are under CC BY-NC-SA 4.0, and weights trained on them are offered
under the same terms, which the header states: name the source, no commercial use, share
alike. Weights trained only on scenes that this project draws (`lunar_tfds.synthetic`)
are free of these terms; the copy named under Training data tells which it was. The code
is under Apache-2.0. Encoder weights from ImageNet have terms of their own.
"""

LIMITS = """\
## Limits

- It has seen rendered scenes only: no sensor noise, nearly grey, sun 20 to 50 degrees
  high, field of view 65 degrees. Expect lower scores on photographs; score
  `--split=real` before use.
- The renderer's labels are its truth: rocks under 10 cm are ground, some frames have
  masks that are not on their rocks, and where small ends and large begins is the
  dataset's choice. `rock_iou` leaves that choice out.
- Sky and hard shadow are both black; a rock in shadow has little to be seen by.
- `ground` masks contain distant rocks that `clean` masks leave out, so scores on the
  two cannot be compared.
- Other planets, other cameras and indoor test fields were not tried.
"""


@dataclasses.dataclass(frozen=True)
class CardConfig:
    """Settings of a model card."""

    checkpoint: str = checkpoint_setting()
    metrics: str | None = setting(None, "metrics.json of evaluate.py.", is_path=True)
    output: str | None = setting(
        None, "File; by default beside the checkpoint, .md.", is_path=True
    )

    def __post_init__(self):
        """Raises ValueError for a setting that cannot be."""
        settings.check(self)


def model_card(
    details: dict[str, Any],
    costs: BlockCost | None = None,
    metrics: dict[str, Any] | None = None,
) -> str:
    """Returns the card's text.

    Args:
        details: dict of a checkpoint, from `checkpoints.read_details`. Only
            `image_size`, `mask` and `class_names` are needed.
        costs: BlockCost of the whole network, the last of
            `model.network.cost.block_costs`, or None.
        metrics: dict of evaluate.py's `metrics.json`, or None: then the validation
            scores stored in the checkpoint are shown.

    Returns:
        str, Markdown.
    """
    header = HEADER.format(network=NETWORKS[_encoder(details)][0])
    parts = [header, _network(details, costs), USE, DATA + _data(details)]
    parts += [_training(details), _scores(details, metrics), LIMITS, LICENSE]
    return "\n".join(part for part in parts if part)


def _encoder(details: dict[str, Any]) -> str:
    return details.get("encoder", DEFAULT_ENCODER)


def _network(details: dict[str, Any], costs: BlockCost | None) -> str:
    """Returns what the network is, takes and gives."""
    size = _size(details["image_size"])
    names = ", ".join(
        f"{index} `{name}`" for index, name in enumerate(details["class_names"])
    )
    lines = [
        "Gives each pixel of a picture of the Moon's surface one of "
        f"{len(details['class_names'])} classes.",
        "",
        f"- Network: {NETWORKS[_encoder(details)][1]}.",
        f"- Input: float32 [N, {size}, 3], RGB in [0, 1]; preprocessing is inside.",
        f"- Output: float32 logits [N, {size}, {len(details['class_names'])}]; classes "
        f"{names}.",
        "- Load it with `keras.models.load_model(path)`, under TensorFlow or JAX.",
    ]
    if costs is not None:
        lines.append(
            f"- {costs.parameters / 1e6:.1f} M parameters, {costs.trainable / 1e6:.1f} "
            f"M of them trained; {costs.forward_gflop:.0f} GFLOP a frame."
        )
    return "\n".join(lines) + "\n"


def _data(details: dict[str, Any]) -> str:
    """Returns which masks and which copy of the dataset were used."""
    dataset = details.get("dataset") or {}
    lines = [f"\n- Masks: `{details['mask']}`."]
    if dataset:
        known = [
            f"{key.replace('_', ' ')} {dataset[key]}"
            for key in ("name", "config", "version", "source_fingerprint")
            if dataset.get(key) is not None
        ]
        lines.append(f"- Copy: {', '.join(known)}.")
    return "\n".join(lines) + "\n"


def _training(details: dict[str, Any]) -> str:
    """Returns how it was trained, or nothing where the checkpoint does not say."""
    lines = []
    if "encoder_weights" in details:
        start = details["encoder_weights"]
        # A path is the business of the machine it lies on.
        name = pathlib.Path(start).name if start else "none, random"
        lines.append(f"- Encoder's initial weights: {name}.")
    if details.get("epoch") is not None:
        lines.append(f"- Epoch {details['epoch']}.")
    if details.get("precision"):
        lines.append(f"- Precision: {details['precision']}.")
    if details.get("monitor") and details.get("score") is not None:
        lines.append(
            f"- Chosen as the best by `{details['monitor']}`: {details['score']:.4f}."
        )
    return "## Training\n\n" + "\n".join(lines) + "\n" if lines else ""


def _scores(details: dict[str, Any], metrics: dict[str, Any] | None) -> str:
    """Returns the table of scores, which names the split they were measured on."""
    if metrics is not None:
        return _evaluated(metrics)
    stored = details.get("scores") or {}
    scores = {
        key.removeprefix("val_"): stored.get(f"val_{key}", value)
        for key, value in stored.items()
    }
    names = details["class_names"]
    rows = [(f"`{name}`", scores.get(name)) for name in SCORE_NAMES]
    rows += [(f"IoU `{name}`", scores.get(f"iou_{name}")) for name in names]
    if all(value is None for _, value in rows):
        return "## Scores\n\nNot evaluated: run evaluate.py on this checkpoint.\n"
    return "\n".join(
        [
            "## Scores\n",
            "On the validation split at the trained size, which also chose this epoch: "
            "an evaluation on `test` is the fairer number.\n",
            *_table(rows),
        ]
    )


def _evaluated(metrics: dict[str, Any]) -> str:
    """Returns the table of an evaluate.py run."""
    intervals = metrics.get("confidence_intervals_95") or {}
    rows = [(f"`{n}`", metrics.get(n), intervals.get(n)) for n in SCORE_NAMES]
    rows += [
        (f"IoU `{name}`", value, None)
        for name, value in (metrics.get("iou_per_class") or {}).items()
    ]
    where = (
        f"On {metrics['num_examples']} frames of `{metrics['split']}`"
        + (f", protocol `{metrics['protocol']}`" if metrics.get("protocol") else "")
        + ", at the masks' own resolution. A class that occurs neither in truth nor in "
        "prediction has no score; means leave it out.\n"
    )
    return "\n".join(["## Scores\n", where, *_table(rows)])


def _table(rows: list[tuple[Any, ...]]) -> list[str]:
    """Returns Markdown lines of (name, value or None[, interval or None]) rows."""
    lines = ["| score | value |", "|---|---|"]
    for name, value, *interval in rows:
        text = "none" if value is None or value != value else f"{value:.4f}"
        if interval and interval[0]:
            low, high = interval[0]
            text += f" (95 % interval {low:.4f} to {high:.4f})"
        lines.append(f"| {name} | {text} |")
    return [*lines, ""]


def _size(image_size: Any) -> str:
    """Returns 'height, width' of an int, a pair or None."""
    if image_size is None:
        return "H, W"
    return ", ".join(map(str, output_size(image_size)))


def write_card(config: CardConfig) -> int:
    """Writes the card of a checkpoint; returns the exit status.

    Raises:
        ValueError: no such checkpoint, or a broken metrics.json.
        OSError: the card cannot be written.
    """
    metrics = read_metrics(config.metrics, "metrics") if config.metrics else None
    model, details, path = load_checkpoint(config.checkpoint)
    has_size = None not in model.input_shape[1:]
    card = model_card(details, block_costs(model)[-1] if has_size else None, metrics)
    output = config.output or path.with_suffix(".md")
    write_text(output, card)
    logging.info("Model card written to %s", output)
    return command_line.EXIT_DONE


if __name__ == "__main__":
    sys.exit(command_line.run(CardConfig, write_card))
