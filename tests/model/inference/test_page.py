import html
import re

import numpy as np
import pytest
from PIL import Image

from model.inference import pictures, result_files
from model.inference.page import Page, PageInfo
from model.inference.video import VideoFrame
from tests.support import browser, results

INFO = PageInfo("run/a.keras", 5, ("rocks.csv",))
HOSTILE = """<script src="x">alert('1')</script>&.png"""


def written(folder, shown, failures=(), info=INFO):
    results.write(Page(folder, info), shown, failures)
    return (folder / "index.html").read_text()


def test_a_page_says_what_was_found(tmp_path):
    failed = results.File("c.png")
    shown = [results.result("a.png"), results.result("b.png", size=(60, 1600))]
    text = written(tmp_path, shown, [(failed, "0 bytes")])
    assert text.startswith("<!DOCTYPE html>") and text.count("<article") == 2
    assert "1600 &times; 60 px" in text and 'href="b_overlay.png"' in text
    assert "Lunar rocks in 2 images" in text and 'href="rocks.csv"' in text
    # 5 of 24 rows of a are sky, and 5 of 60 of b.
    assert text.count(f"{100 * 5 / 24:.1f}%") == 1 and text.count("8.3%") == 1
    assert f"{50 * (5 / 24 + 5 / 60):.1f}%" in text
    assert text.count("1 small rock,") == text.count("1 large rock\n") == 2
    assert '<b title="a.png">a.png</b>\n    <span class="soft">2 rocks' in text
    errors = text.split('id="errors"')[1].split("</table>")[0]
    assert "c.png" in errors and "0 bytes" in errors
    # Nothing is fetched.
    assert all(
        address.startswith(("data:", "#"))
        for address in re.findall(r'src="([^"]*)', text)
    )
    assert "http" not in text


def test_pictures_are_720_wide_and_blend_to_the_overlay(tmp_path):
    made = Page(tmp_path, INFO).make(results.result(size=(100, 1500)))
    with browser_free_picture(made["photo"]) as photo:
        assert photo.size == (720, 48)
    small = results.result(size=(24, 36))
    made = Page(tmp_path, INFO).make(small)
    with browser_free_picture(made["layer"]) as layer:
        pixels = np.asarray(layer.convert("RGBA"), np.float64)
    alpha = pixels[..., 3:] / 255
    blended = small.image * (1 - alpha) + pixels[..., :3] * alpha
    expected = pictures.overlay(small.image, small.prediction.mask)
    assert np.abs(blended - expected).max() <= 1
    with browser_free_picture(made["thumbnail"]) as thumbnail:
        assert thumbnail.size == (36, 24)


def browser_free_picture(address):
    import base64
    import io

    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_what_others_named_is_escaped(tmp_path):
    info = PageInfo(HOSTILE, 5, (HOSTILE,))
    text = written(tmp_path, [results.result(HOSTILE)], [(results.File("x"), HOSTILE)])
    text += written(tmp_path, [], info=info)
    assert text.count("<script") == 2  # The page's own, of both pages.
    assert "alert('1')" not in text and 'src="x"' not in text
    assert html.escape(HOSTILE) in text or "&lt;script" in text


def test_further_pages_are_linked(tmp_path, monkeypatch):
    monkeypatch.setattr(result_files, "PAGE_IMAGES", 2)
    shown = [results.result(f"{index}.png") for index in range(5)]
    first = written(tmp_path, shown, [(results.File("bad.png"), "damaged")])
    names = ["index-2.html", "index-3.html", "index.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    texts = [first, *((tmp_path / name).read_text() for name in names[:2])]
    for text, inside in zip(texts, ("01", "23", "4"), strict=True):
        assert re.findall(r"<h3>(\d)\.png</h3>", text) == list(inside)
        assert text.count('<a href="index') == 2  # All but itself.
    assert "damaged" in first and "damaged" not in texts[1]
    assert "Lunar rocks in 5 images" in texts[2]


def test_pages_of_an_earlier_run_beyond_those_of_this_one_go(tmp_path, monkeypatch):
    monkeypatch.setattr(result_files, "PAGE_IMAGES", 1)
    written(tmp_path, [results.result(f"{index}.png") for index in range(4)])
    (tmp_path / "index-5.html").write_text("<html>somebody's own</html>")
    (tmp_path / "index-6.html").mkdir()
    (tmp_path / "index-3-copy.html").write_text((tmp_path / "index-3.html").read_text())
    written(tmp_path, [results.result(f"{index}.png") for index in range(2)])
    own = ["index-3-copy.html", "index-5.html", "index-6.html"]
    names = sorted([*own, "index-2.html", "index.html"])
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_without_overlays_there_is_no_link_to_one(tmp_path):
    assert "a_overlay.png" in written(tmp_path, [results.result("a.png")])
    info = PageInfo("a.keras", 5, overlays=False)
    text = written(tmp_path, [results.result("a.png")], info=info)
    assert "a_overlay.png" not in text and 'class="compare"' in text


def test_a_page_without_images(tmp_path):
    text = written(tmp_path, [], [(results.File("a.png"), "damaged")])
    assert "No image was segmented" in text and "Lunar rocks in 0 images" in text


def frames(video, count):
    return [
        results.result(file=VideoFrame(video, index, index / 10, None))
        for index in range(count)
    ]


def test_a_video_is_one_part_of_its_page(tmp_path):
    videos = [results.File("a.mp4"), results.File("b.mp4")]
    shown = [*frames(videos[0], 3), *frames(videos[1], 1), results.result("c.png")]
    text = written(tmp_path, shown)
    assert text.count("<article") == 3 and text.count("<video") == 2
    assert 'src="a_overlay.mp4"' in text and "3 frames" in text and "1 frame\n" in text
    assert "4 of them frames of videos" in text and "0.2 s" in text
    # Two rocks a frame.
    assert ">5</b>" in text
    info = PageInfo("a.keras", 5, videos=False)
    text = written(tmp_path, shown, info=info)
    assert "<video" not in text and text.count('class="compare"') == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_the_slider_moves_the_edge(tmp_path, scheme):
    shown = [results.result("a.png", size=(240, 360)), results.result("b.png")]
    written(tmp_path, shown, [(results.File("c.png"), "damaged")])
    with browser.page(color_scheme=scheme) as (opened, errors):
        opened.goto((tmp_path / "index.html").as_uri())
        picture = opened.locator(".compare").first
        before = picture.screenshot()
        box = picture.bounding_box()
        assert (box["width"], box["height"]) == (360, 240)
        opened.mouse.move(box["x"] + 180, box["y"] + 120)
        opened.mouse.down()
        opened.mouse.move(box["x"] + 60, box["y"] + 120, steps=3)
        opened.mouse.up()
        at = picture.evaluate("e => parseFloat(e.style.getPropertyValue('--at'))")
        assert at < 30
        clip = "e => getComputedStyle(e.querySelector('.layer')).clipPath"
        assert f"{at:g}%" in picture.evaluate(clip)
        assert picture.screenshot() != before
        other = opened.locator(".compare").last
        assert other.evaluate("e => e.style.getPropertyValue('--at')") == ""
        opened.locator(".thumbs a").last.click()
        assert opened.url.endswith("#image-2")
        assert opened.evaluate("document.documentElement.scrollWidth") <= 1280
        assert errors == []
