"""Segments photos in the browser: `python app.py`, then open the address it names.

Shows the overlay, class shares and a table of the rocks. Ctrl-C stops it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from commands import common
from lunar_tfds import command_line, settings
from lunar_tfds.settings import setting
from model.inference.predictor import default_checkpoint
from model.network import starter
from model.network.checkpoints import CHECKPOINT_FOLDER, DEFAULT_WORKDIR, read_index
from model.network.extras import need

# Where the app can be reached from this machine alone.
LOCALHOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class AppConfig:
    """Settings of the app."""

    checkpoint: str | None = common.checkpoint_or_starter()  # Chosen at first.
    host: str = setting(
        LOCALHOST, "Address to listen at; 0.0.0.0 opens the app to the network."
    )
    port: int = setting(
        7860, "Port to listen at; 0 takes any free one.", settings.between(0, 65535)
    )
    tile: bool = common.tile()
    tta: bool = common.tta()
    min_rock_area: int = common.min_rock_area()

    def __post_init__(self):
        settings.check(self)


def start(config: AppConfig) -> tuple[Any, str]:
    """Returns the running app, a `gradio.Blocks`, and its address.

    Raises:
        ValueError: gradio is missing, or no such checkpoint.
        OSError: the port is taken.
    """
    need("gradio", "the app")
    # Only here: what imports this module does without the package.
    from model.inference import web_app

    app = web_app.build(
        weights(config.checkpoint),
        min_rock_area=config.min_rock_area,
        tile=config.tile,
        tta=config.tta,
    )
    return app, web_app.launch(app, config.host, config.port)


def run(config: AppConfig) -> None:
    """Runs the app until Ctrl-C; errors as `start`."""
    app, address = start(config)
    if config.host not in (LOCALHOST, "localhost", "::1"):
        logging.warning("Whoever reaches %s can use the app.", address)
    logging.info("Open %s in a browser. Ctrl-C stops the app.", address)
    app.block_thread()


def weights(checkpoint: str | None) -> list[str]:
    """Returns the checkpoints to choose from: one given, starters, best of each run."""
    found = []
    for run in sorted(pathlib.Path(DEFAULT_WORKDIR).parent.glob("*")):
        try:
            if read_index(run / CHECKPOINT_FOLDER):
                found.append(str(run))
        except ValueError as error:
            logging.warning("Left out: %s", error)
    first = checkpoint or default_checkpoint()
    lite = [starter.LITE_NAME] if starter.FILES[starter.LITE_NAME].is_file() else []
    return list(dict.fromkeys((first, starter.NAME, *lite, *found)))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command_line.run(AppConfig, run, argv)
