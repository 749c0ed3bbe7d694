"""The script of docs/deployment.md, in a process that has numpy and a runtime alone."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from model.export import formats
from model.export.serving import Source, details_of
from model.inference.predictor import Predictor
from tests.support import stand_in, tiny_frames

SIZE = 256
DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "deployment.md"
# None in sys.modules makes an import fail.
ALONE = """
import sys
for name in ("tensorflow", "keras", "lunar_tfds", "model", "PIL", "scipy", "{other}"):
    sys.modules[name] = None
exec(open(sys.argv.pop(1)).read())
"""


@pytest.mark.parametrize(
    ("kind", "other"), [("onnx", "ai_edge_litert"), ("litert", "onnxruntime")]
)
def test_it_gives_what_predict_gives(tmp_path, kind, other):
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    (tmp_path / "segment.py").write_text(block)
    predictor = Predictor(stand_in.save(tmp_path / "a.keras", size=SIZE, blur=3))
    file = tmp_path / f"m{formats.FORMATS[kind].suffix}"
    source = Source(predictor.model, SIZE, details_of(predictor))
    formats.write(source, file, kind)
    frame = tiny_frames.draw_frame(np.random.default_rng(0))[0]
    np.save(tmp_path / "frame.npy", frame)
    done = subprocess.run(
        [
            *(sys.executable, "-c", ALONE.format(other=other), "segment.py"),
            *(file.name, "frame.npy", "mask.npy"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    mask, expected = np.load(tmp_path / "mask.npy"), predictor(frame).mask
    assert mask.dtype == np.uint8 and mask.shape == frame.shape[:2]
    assert (mask == expected).mean() > 0.999
    assert len(np.unique(expected)) == 4
    names = re.findall(r"^(\w+): [\d.]+%$", done.stdout, re.M)
    assert names == list(predictor.class_names)
