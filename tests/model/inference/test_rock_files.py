import csv
import json
import pathlib

import numpy as np
import pytest
from pycocotools.coco import COCO

from lunar_tfds import palette
from model.inference import outputs, rock_files
from model.inference.video import VideoFrame
from tests.support import results


def test_the_table_has_a_row_for_each_rock(tmp_path):
    shown = [results.result("a.png"), results.result("deep/b.png")]
    results.write(rock_files.RockTable(tmp_path, 5), shown)
    with open(tmp_path / "rocks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and tuple(rows[0]) == rock_files.COLUMNS
    assert [row["image"] for row in rows[1:3]] == ["photos/a.png", "photos/deep/b.png"]
    large, small = rows[:2]
    assert large == {
        **{"image": "photos/a.png", "time_s": "", "id": "1", "class": "large_rock"},
        **{"box_left": "4", "box_top": "8", "box_width": "8", "box_height": "6"},
        **{"area_px": "48", "centroid_x": "7.50", "centroid_y": "10.50"},
        **{"diameter_px": "7.82", "mean_probability": "0.7000"},
    }
    assert (small["id"], small["class"], small["area_px"]) == ("2", "small_rock", "9")
    # The third has 4 px.
    results.write(rock_files.RockTable(tmp_path, 4), shown)
    assert len((tmp_path / "rocks.csv").read_text().splitlines()) == 1 + 6


def test_a_table_and_instances_of_nothing(tmp_path):
    for output in (rock_files.RockTable, rock_files.CocoFile):
        results.write(output(tmp_path, 1), [], [(results.File("x.png"), "damaged")])
    assert (tmp_path / "rocks.csv").read_text().count("\n") == 1
    assert json.loads((tmp_path / "coco.json").read_text())["images"] == []


@pytest.mark.parametrize(("coco_format", "kind"), [("rle", dict), ("polygons", list)])
def test_instances_equal_the_masks(tmp_path, capsys, coco_format, kind):
    shown = [results.result("a.png"), results.result("deep/b.png", size=(30, 41))]
    frame = results.result(file=VideoFrame(results.File("clip.mp4"), 0, 0.5, None))
    output = rock_files.CocoFile(tmp_path, 1, coco_format)
    results.write(output, [shown[0], frame, shown[1]])
    coco = COCO(tmp_path / "coco.json")
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
        *("a.png", "deep/b.png")
    ]
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    assert names == {2: "small_rock", 3: "large_rock"}
    assert sorted(coco.getAnnIds()) == [1, 2, 3, 4, 5, 6]
    for image_id, one in enumerate(shown, 1):
        mask = one.prediction.mask
        painted = np.zeros_like(mask)
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            assert isinstance(annotation["segmentation"], kind)
            assert annotation["iscrowd"] == 0
            assert annotation["score"] == pytest.approx(0.7)
            pixels = coco.annToMask(annotation)
            assert pixels.shape == mask.shape and pixels.sum() == annotation["area"]
            painted[pixels > 0] = annotation["category_id"]
        rocks = np.where(mask >= palette.SMALL_ROCK, mask, 0)
        np.testing.assert_array_equal(painted, rocks)


def test_a_name_that_utf8_cannot_hold_is_written(tmp_path):
    shown = [results.result("caf\udce9.png")]
    for output in (rock_files.RockTable, rock_files.CocoFile):
        results.write(output(tmp_path, 1), shown)
    assert "caf\\udce9.png" in (tmp_path / "rocks.csv").read_text()
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert images[0]["file_name"] == "caf\\udce9.png"


def test_the_disk_is_full(tmp_path, monkeypatch):
    (tmp_path / "coco.json").write_text("the earlier run's")

    def fail(self):
        yield "{"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rock_files.CocoFile, "_text", fail)
    with pytest.raises(OSError, match="could not write .*coco.json"):
        results.write(rock_files.CocoFile(tmp_path, 1), [])
    assert (tmp_path / "coco.json").read_text() == "the earlier run's"
    assert [path.name for path in pathlib.Path(tmp_path).iterdir()] == ["coco.json"]


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@A1.png", "\tx.png"])
def test_no_name_is_a_formula_for_a_spreadsheet(tmp_path, monkeypatch, name):
    monkeypatch.setattr(results.File, "__str__", lambda self: self.relative)
    shown, failed = [results.result(name)], [(results.File(name), "=damaged")]
    results.write(rock_files.RockTable(tmp_path, 5), shown)
    results.write(outputs.Summary(tmp_path, 1), shown, failed)
    for table, column in (("rocks.csv", "image"), ("summary.csv", "image")):
        with open(tmp_path / table, newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row[column] for row in rows} == {f"'{name}"}
    assert rows[-1]["error"] == "'=damaged"
    results.write(rock_files.CocoFile(tmp_path, 1), shown)  # Tools find files by it.
    assert json.loads((tmp_path / "coco.json").read_text())["images"][0][
        "file_name"
    ].endswith(name)
