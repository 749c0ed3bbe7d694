import io
import re
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from commands import app
from lunar_tfds.atomic_files import write_json
from model.inference.images import read_image
from model.inference.predictor import Predictor
from model.inference.rocks import find_rocks
from tests.support import browser, stand_in, tiny_frames


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(stand_in.save(tmp_path_factory.mktemp("run") / "a.keras", size=128))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, seed in (("a.png", 1), ("b.png", 2)):
        frame = tiny_frames.draw_frame(np.random.default_rng(seed), num_large=2 + seed)
        Image.fromarray(frame[0]).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def says(checkpoint, path):
    """Returns what the app must say of a photo."""
    prediction = Predictor(checkpoint)(path)
    return f"{len(find_rocks(*prediction, 10))} rocks in {path.name}"


def test_in_a_browser_photos_become_overlays_shares_and_rocks(
    checkpoint, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    other = stand_in.save(tmp_path / "runs/b/checkpoints/vgg16_unet-001-0.5000.keras")
    entry = {"file": other.name, "epoch": 1, "monitor": "val_mean_iou", "score": 0.5}
    write_json(other.parent / "index.json", {"checkpoints": [entry]})
    running, address = app.start(app.AppConfig(checkpoint=checkpoint, port=0))
    try:
        assert address.startswith("http://127.0.0.1:")
        with browser.page(viewport={"width": 1300, "height": 1200}) as (page, errors):
            asked = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address)
            names = [photos / name for name in ("a.png", "b.png", "broken.png")]
            page.locator("#photos input[type=file]").set_input_files(names)
            check_the_photos(page, checkpoint, photos)
            check_the_weights(page, photos)
            assert errors == []
            local = (address, "data:", "blob:")
            assert not [url for url in asked if not url.startswith(local)]
    finally:
        running.close()


def check_the_photos(page, checkpoint, photos):
    page.get_by_text(says(checkpoint, photos / "a.png")).wait_for(timeout=90_000)
    page.get_by_text("broken.png: ").first.wait_for()
    # Of the table there is a hidden copy, which is only measured.
    rocks = page.locator("#rocks").get_by_text("large_rock")
    rocks.locator("visible=true").first.wait_for()
    shares = page.locator("#shares").inner_text()
    percent = dict(re.findall(r"(ground|sky|small rock|large rock)\s+(\d+)%", shares))
    assert len(percent) == 4 and abs(sum(map(int, percent.values())) - 100) <= 2
    photo = read_image(photos / "a.png").astype(int)
    seen = [np.abs(picture(page) - photo).mean()]
    for opacity in ("0", "1"):
        before = address_of(page)
        page.locator("#opacity input[type=range]").fill(opacity)
        page.wait_for_function(
            "old => document.querySelector('#overlay img').src !== old", arg=before
        )
        seen.append(np.abs(picture(page) - photo).mean())
    default, none, full = seen
    assert none < 3 < default < full  # Grey levels; a JPEG differs a little.
    page.locator("#gallery .thumbnail-item").nth(1).click()
    page.get_by_text(says(checkpoint, photos / "b.png")).wait_for()


def check_the_weights(page, photos):
    page.locator("#weights input").click()
    page.get_by_role("option", name="runs/b").click()
    page.get_by_text(says("runs/b", photos / "a.png")).wait_for(timeout=90_000)


def address_of(page):
    return page.locator("#overlay img").get_attribute("src")


def picture(page):
    data = page.request.get(address_of(page)).body()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_which_weights_can_be_chosen(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    starters = ["starter", "starter_lite"]
    assert app.weights(None) == starters
    assert app.weights("a.keras") == ["a.keras", *starters]
    for name in ("b", "vgg16_unet"):
        write_json(
            tmp_path / "runs" / name / "checkpoints" / "index.json",
            {"checkpoints": [{"file": "x.keras", "score": 0.5, "epoch": 1}]},
        )
    (tmp_path / "runs" / ".DS_Store").write_bytes(b"")
    assert app.weights(None) == ["runs/vgg16_unet", *starters, "runs/b"]
    (tmp_path / "runs" / "b" / "checkpoints" / "index.json").write_text("{")
    assert app.weights(None) == ["runs/vgg16_unet", *starters]
    assert "Left out: runs/b/checkpoints/index.json is not an index" in caplog.text


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--checkpoint=none.keras", "no checkpoint at none.keras"),
        ("--port=99999", "--port=99999: must be 0 to 65535"),
        ("--min_rock_area=0", "must be at least 1"),
    ],
)
def test_bad_input_is_one_line(flag, message, caplog):
    assert stand_in.run(app, flag) == 1
    assert message in caplog.text and "\n  " not in caplog.text


def test_a_port_that_is_taken_is_one_line(checkpoint, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status = stand_in.run(app, f"--checkpoint={checkpoint}", f"--port={port}")
    assert status == 1 and f"port {port} of 127.0.0.1" in caplog.text


def test_without_gradio_the_extra_is_named(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert stand_in.run(app) == 1
    assert "needs gradio" in caplog.text and "'.[app]'" in caplog.text
