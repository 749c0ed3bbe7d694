import copy
import re
import sys

import numpy as np
import pytest

from model.evaluation import bootstrap, charts, report, scoring
from model.evaluation.summary import summarize
from model.inference.theme import THEMES
from tests.support.answers import Answers, examples, random_masks

HOSTILE = """<script src="x">alert('1')</script>&"""


@pytest.fixture(scope="module")
def scored():
    """An evaluation of 6 frames without sky, one on a defect list, and its metrics."""
    truths, answers = random_masks(6, shape=(24, 36))
    truths = [np.where(truth == 1, 0, truth) for truth in truths]
    answers = [np.where(answer == 1, 0, answer) for answer in answers]
    listed = examples(truths, {1: {"bad_shadow": True}})
    evaluation = scoring.evaluate(Answers(answers), listed, num_pictured=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BOOTSTRAP_RESAMPLES", 50)
        metrics = summarize(evaluation)
    details = {
        "split": "test",
        "protocol": None,
        "mask": "ground",
        "tta": True,
        "checkpoint": "run/a.keras",
        "dataset": {"name": "lunar_rocks", "source_fingerprint": None},
    }
    return metrics | details, evaluation


def test_a_class_that_is_absent_and_a_defect_list_are_shown(scored):
    page = report.render(*scored)
    assert '<span class="soft">absent</span>' in page and "nan" not in page
    assert "bad shadow" in page and "on no list" in page
    assert "Only 6 frames" in page and "with test-time augmentation" in page
    assert "15 equal bins" in page and "Against the baseline" not in page
    # All pixels have confidence 0.9, which is in the bin below the last.
    assert "0% of the pixels lie in the last bar" in page
    assert page.count("<figure>") == 4 and "None" not in page
    assert page.startswith("<!DOCTYPE html>") and page == report.render(*scored)


def test_page_and_charts_have_the_colours_of_their_themes(scored):
    page = report.render(*scored)
    light, dark = page.split("@media (prefers-color-scheme: dark)")[:2]
    for css, scheme in ((light, "light"), (dark.split("* {")[0], "dark")):
        theme = THEMES[scheme]
        colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", css))
        names = ("ink", "soft", "page", "card", "line", "warn")
        assert colors == {n: getattr(theme, n) for n in names} | {"accent": theme.right}


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_its_extra(scored, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs {package}, .*'\.\[train\]'"):
        report.render(*scored)


def test_what_others_named_is_escaped(scored):
    metrics, evaluation = copy.deepcopy(scored)
    names = "split", "protocol", "checkpoint", "mask"
    metrics |= {name: HOSTILE for name in names}
    metrics["dataset"]["name"] = HOSTILE
    metrics["defect_lists"][HOSTILE] = metrics["defect_lists"]["on no list"]
    change = {"change": None, "interval_95": None}
    metrics["comparison"] = {"worse": True, "baseline": HOSTILE}
    metrics["comparison"]["changes"] = {HOSTILE: change}
    for frame in evaluation.worst + evaluation.best:
        object.__setattr__(frame, "frame_id", HOSTILE)
    page = report.render(metrics, evaluation)
    assert "<script" not in page and 'src="x"' not in page and "alert('1')" not in page
    # In the head and the heading, 7 texts, 4 times 4 pictures and 4 captions.
    assert page.count("&lt;script") == 2 + 7 + 4 * 4 + 4


def test_charts_show_what_they_are_given_in_the_colours_of_the_page(scored):
    metrics, _ = scored
    names = metrics["class_names"]
    light, dark, other = (
        charts.confusion_chart(matrix, names, theme).decode()
        for matrix, theme in (
            (metrics["confusion_matrix"], THEMES["light"]),
            (metrics["confusion_matrix"], THEMES["dark"]),
            (np.eye(4, dtype=int).tolist(), THEMES["light"]),
        )
    )
    for chart, theme in (
        (light, THEMES["light"]),
        (dark, THEMES["dark"]),
    ):
        assert theme.ink in chart and theme.card in chart
        assert theme.right in chart and theme.wrong in chart
    assert light != other and THEMES["dark"].card not in light


def test_a_bar_is_as_high_as_its_bin_is_right():
    def height(accuracy):
        bins = [
            {"from": 0.0, "to": 0.5, "pixels": 0, "accuracy": None},
            {"from": 0.5, "to": 1.0, "pixels": 10, "accuracy": accuracy},
        ]
        chart = charts.calibration_chart(bins, THEMES["light"]).decode()
        (path,) = re.findall(
            rf'<path d="([^"]+)"[^>]+style="fill: {THEMES["light"].right}', chart
        )
        rows = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]
        return max(rows) - min(rows)

    assert height(0.75) == pytest.approx(3 * height(0.25), rel=1e-3)
