import contextlib

from benchmarks import inference
from tests.support import stand_in


def test_both_rates_are_measured(tmp_path, monkeypatch):
    checkpoint = stand_in.save(tmp_path / "a.keras", size=64)
    folder = tmp_path / "work"
    folder.mkdir()
    temporary = contextlib.nullcontext(folder)
    monkeypatch.setattr(inference.tempfile, "TemporaryDirectory", lambda: temporary)
    monkeypatch.setattr(inference, "DRAWN_SCENES", 2)
    config = inference.Benchmark(checkpoint=str(checkpoint), frames=4, turns=2)
    bare, predicted = inference.measure(config)
    assert bare > predicted > 0  # The network is nearly nothing here.
    names = {path.name for path in (folder / "predictions").iterdir()}
    assert names > {"summary.csv", "index.html", "rocks.csv", "coco.json"}
    assert {"frame0003_mask.png", "frame0003_overlay.png"} < names


def test_both_rates_are_printed_with_their_ratio(capsys, monkeypatch):
    monkeypatch.setattr(inference, "measure", lambda config: (2.0, 1.5))
    inference.main(inference.Benchmark())
    _, bare, predicted = capsys.readouterr().out.splitlines()
    assert bare.split() == ["bare", "network", "2.00", "images/s"]
    assert predicted.split() == ["predict", "1.50", "images/s", "0.75", "of", "it"]
