"""Runs the main job end to end on scenes that this project draws itself.

Scenes -> `tfds build` -> training -> evaluation report -> overlays of scenes the model
never saw; the last two by the starter too. Every step is an ordinary command, printed
as it is run; scenes, dataset and training that are there already are not made again.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

from commands import evaluate, predict, train
from lunar_tfds import command_line
from lunar_tfds.settings import at_least, check, setting
from lunar_tfds.synthetic import __main__ as synthetic
from model.network import starter, unet, vgg16
from model.network.checkpoints import find_checkpoint
from model.network.precision import cpu_has

ROOT = pathlib.Path(__file__).resolve().parents[1]
# A command of the same environment, whether or not that is activated.
TFDS = pathlib.Path(sys.executable).with_name("tfds")

# A command: takes program name and arguments, returns an exit status.
Main = Callable[[Sequence[str]], int]


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """What `make demo` runs on."""

    output_dir: str = setting("demo", "Where everything goes.", is_path=True)
    num_scenes: int = setting(160, "Scenes to draw for the dataset.", at_least(20))
    num_unseen: int = setting(6, "Further scenes to predict.", at_least(1))
    image_size: int = setting(
        0,
        "Side of the input, px; 0: 128, or 96 untrained.",
        lambda pixels: None if pixels == 0 else unet.is_network_size(pixels),
    )
    epochs: int = setting(0, "Training epochs; 0: 7, or 9 untrained.", at_least(0))
    encoder_weights: str = setting(
        "",
        "A VGG16 .weights.h5 file, `imagenet`, `starter` or `none`. Empty: what the "
        "variable ENCODER_WEIGHTS says, else ImageNet weights when they can be "
        "downloaded, otherwise the starter's.",
    )

    def __post_init__(self):
        check(self)


def run(title: str, program: str, main: Main, *flags: object) -> None:
    """Prints one command and runs it in this process; stops when it fails."""
    words = [str(flag) for flag in flags]
    print(f"\n=== {title}\n$ {program} {shlex.join(words)}", flush=True)
    start = time.monotonic()
    status = main([program, *words])
    if status:
        raise ValueError(
            f"the step above failed with exit code {status}; its own message says why"
        )
    print(f"--- {time.monotonic() - start:.0f} s", flush=True)


def draw_scenes(argv: Sequence[str]) -> int:
    """Draws scenes as `python -m lunar_tfds.synthetic` does; returns its status."""
    return command_line.run(synthetic.Drawing, synthetic.main, argv)


def build_dataset(argv: Sequence[str]) -> int:
    """Runs `tfds build` in the repository root; returns its status."""
    _, *flags = argv
    command = [str(TFDS), "build", "lunar_rocks", *flags]
    # In a group of its own Ctrl-C reaches it through this process alone, silently.
    return subprocess.run(command, cwd=ROOT, check=False, process_group=0).returncode


def training_flags(config: DemoConfig, weights: str) -> tuple[str, ...]:
    """Returns the flags of a training run that fits into six minutes.

    Batches of 4 take twice the steps of train.py's 8 for the same work. Without
    pretrained weights the whole encoder learns, at nearly twice the work an image:
    smaller images.
    """
    size, epochs = (96, 9) if weights == "none" else (128, 7)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    fast = "bfloat16" if cpu_has("bfloat16") and not has_gpu else "float32"
    return (
        f"--precision={fast}",
        f"--image_size={config.image_size or size}",
        "--global_batch_size=4",
        f"--epochs={config.epochs or epochs}",
    )


def choose_encoder_weights(choice: str) -> str:
    """Returns a path or a name of weights; says so when the download fails."""
    choice = choice or os.environ.get("ENCODER_WEIGHTS", "")
    if choice in ("imagenet", starter.NAME, "none"):
        return choice
    if choice:  # Relative to where the user is; the steps run in the repository.
        return str(pathlib.Path(choice).expanduser().absolute())
    try:
        vgg16.imagenet_weights_file()
    except Exception as error:  # Keras raises a bare Exception when offline.
        fallback = starter.NAME if has_starter() else "none"
        print(
            f"\nImageNet weights cannot be downloaded ({error}).\nTraining starts from "
            f"other ones: {fallback}. ENCODER_WEIGHTS=PATH make demo takes a file."
        )
        return fallback
    return "imagenet"


def has_starter() -> bool:
    """Returns whether the starter's file is whole; says how to get it where not."""
    try:
        find_checkpoint(starter.NAME)
    except ValueError as error:
        print(f"\nThe demo goes on without the starter: {error}.")
        return False
    return True


def print_results(
    output: pathlib.Path, workdir: pathlib.Path, weights: str, *, with_starter: bool
) -> None:
    """Prints the scores and where the pictures and the report are."""
    reports = {f"trained from {pathlib.Path(weights).name}": output / "report"}
    if with_starter:
        reports["starter"] = output / "report_starter"
    found = [json.loads((r / "metrics.json").read_text()) for r in reports.values()]
    print(f"\n=== Results on {found[0]['num_examples']} unseen drawn scenes")
    print(f"{'':15s}" + "".join(f"  {name:>24s}" for name in reports))
    rows = {"mean IoU": [scores["mean_iou"] for scores in found]}
    for name in found[0]["iou_per_class"]:
        rows[f"IoU {name}"] = [scores["iou_per_class"][name] for scores in found]
    for name, values in rows.items():
        cells = ("absent" if value is None else f"{value:.3f}" for value in values)
        print(f"{name:15s}" + "".join(f"  {cell:>24s}" for cell in cells))
    print(f"Report:      {output / 'report' / 'report.html'}")
    print(f"Overlays:    {output / 'predictions'}")
    print(f"Checkpoints: {workdir / 'checkpoints'}")


def try_checkpoint(
    title: str, checkpoint: pathlib.Path | str, output: pathlib.Path, suffix: str = ""
) -> None:
    """Evaluates a checkpoint on the test split, and predicts the unseen scenes."""
    run(
        f"Evaluate {title} on the test split",
        *("python evaluate.py", evaluate.main, f"--checkpoint={checkpoint}"),
        *(f"--data_dir={output / 'data'}", "--split=test"),
        f"--output_dir={output / f'report{suffix}'}",
    )
    run(
        f"Predict the further scenes with {title}",
        *("python predict.py", predict.main, f"--checkpoint={checkpoint}"),
        f"--images={output / 'unseen' / 'images' / 'render'}",
        f"--output_dir={output / f'predictions{suffix}'}",
    )


def demo(config: DemoConfig) -> None:
    """Runs the steps in order."""
    output = pathlib.Path(config.output_dir).resolve()
    scenes, data = output / "scenes", output / "data"
    run(
        f"Draw {config.num_scenes} scenes in the Kaggle layout",
        *("python -m lunar_tfds.synthetic", draw_scenes, f"--output_dir={scenes}"),
        *(f"--num_scenes={config.num_scenes}", "--seed=0"),
    )
    run(
        "Build the dataset: sharded TFRecords",
        *("tfds build lunar_rocks", build_dataset, f"--manual_dir={scenes}"),
        f"--data_dir={data}",
    )
    weights = choose_encoder_weights(config.encoder_weights)
    # One run for each kind of weights: its settings differ.
    workdir = output / f"run_{pathlib.Path(weights).name.partition('.')[0]}"
    run(
        "Train the VGG16-UNet",
        *("python train.py", train.main, "--strategy=mirrored"),
        *(f"--data_dir={data}", f"--workdir={workdir}"),
        *training_flags(config, weights),
        *(f"--encoder_weights={weights}", "--cache=memory"),
    )
    unseen = output / "unseen"
    run(
        f"Draw {config.num_unseen} further scenes",
        *("python -m lunar_tfds.synthetic", draw_scenes, f"--output_dir={unseen}"),
        *(f"--num_scenes={config.num_unseen}", "--seed=1"),
    )
    try_checkpoint("the best checkpoint", workdir, output)
    with_starter = has_starter()
    if with_starter:
        try_checkpoint("the starter", starter.NAME, output, suffix="_starter")
    print_results(output, workdir, weights, with_starter=with_starter)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command_line.run(DemoConfig, demo, argv)
