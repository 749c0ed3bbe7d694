from model.inference import benchmark
from tests.support import stand_in


def test_both_rates_are_measured_and_printed(tmp_path, capsys):
    checkpoint = stand_in.save(tmp_path / "a.keras", size=64)
    config = benchmark.BenchmarkConfig(checkpoint=str(checkpoint), frames=4, turns=2)
    bare, predicted = benchmark.measure(config)
    assert bare > predicted > 0  # The network is nearly nothing here.
    benchmark.main(config)
    assert "images/s" in capsys.readouterr().out
