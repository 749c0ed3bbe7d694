import os

import pytest

from model.export import placement
from model.export.placement import card_heading, card_path, check_output


def fill(folder, text="new"):
    """Makes a folder that looks like a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(text)
    (folder / "variables" / "variables.index").write_text(text)
    return folder


def is_whole(folder, text):
    parts = (folder / "saved_model.pb", folder / "variables" / "variables.index")
    return all(part.read_text() == text for part in parts)


def contents(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run" / "a.keras"
    path.parent.mkdir()
    path.write_text("weights")
    return path


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_and_a_folder_take_their_place_and_nothing_else_is_left(
    tmp_path, before
):
    if before:
        (tmp_path / "m.onnx").write_text(before)
        fill(tmp_path / "m", before)
    with placement.work_folder(tmp_path / "m.onnx") as folder:
        (folder / "m.onnx").write_text("new")
        placement.put(folder / "m.onnx", tmp_path / "m.onnx")
    with placement.work_folder(tmp_path / "m") as folder:
        placement.put(fill(folder / "m"), tmp_path / "m")
    assert contents(tmp_path) == ["m", "m.onnx"]
    assert (tmp_path / "m.onnx").read_text() == "new" and is_whole(
        tmp_path / "m", "new"
    )


def kill_at(monkeypatch, count):
    """Lets the first `count` renames of `put` happen, and no more."""
    rename, done = os.rename, []

    def killed(source, target):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    monkeypatch.setattr(placement.os, "rename", killed)


@pytest.mark.parametrize("renames", range(4))
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_one_whole(
    tmp_path, monkeypatch, renames
):
    output = fill(tmp_path / "m", "old")
    work = tmp_path / ".export-m"
    made = fill(work / "m", "new")
    with monkeypatch.context() as patch:
        kill_at(patch, renames)
        if renames < 3:
            with pytest.raises(KeyboardInterrupt):
                placement.put(made, output)
        else:
            placement.put(made, output)
    # What the next start does first.
    placement.restore(output)
    assert is_whole(output, "old" if renames < 2 else "new")
    with placement.work_folder(output) as folder:
        assert contents(folder) == (["left"] if renames == 2 else [])
        placement.put(fill(folder / "m", "newest"), output)
    assert is_whole(output, "newest") and contents(tmp_path) == ["m"]


def test_an_error_in_the_middle_brings_the_old_one_back_at_once(tmp_path, monkeypatch):
    output = fill(tmp_path / "m", "old")
    with pytest.raises(KeyboardInterrupt):
        with placement.work_folder(output) as folder:
            made = fill(folder / "m", "new")
            with monkeypatch.context() as patch:
                kill_at(patch, 1)
                placement.put(made, output)
    assert is_whole(output, "old") and contents(tmp_path) == ["m"]


def test_what_export_made_is_replaced_without_a_question(tmp_path, checkpoint):
    for output, kind in (
        (tmp_path / "m.onnx", "onnx"),
        (fill(tmp_path / "m"), "saved_model"),
    ):
        if kind == "onnx":
            output.write_text("graph")
        card_path(output).write_text(f"# A model\n\n{card_heading(output)}\n")
        check_output(output, kind, checkpoint)
    # A card alone, after a kill between the two.
    (tmp_path / "m.onnx").unlink()
    check_output(tmp_path / "m.onnx", "onnx", checkpoint)


def foreign_file(tmp_path):
    (tmp_path / "m.onnx").write_text("dear")
    return tmp_path / "m.onnx", "onnx"


def foreign_saved_model(tmp_path):
    return fill(tmp_path / "m"), "saved_model"


def foreign_card(tmp_path):
    (tmp_path / "m.onnx.md").write_text("my notes on `m.onnx`")
    return tmp_path / "m.onnx", "onnx"


def card_of_another(tmp_path):
    (tmp_path / "m.onnx").write_text("dear")
    other = card_heading(tmp_path / "n.onnx")
    (tmp_path / "m.onnx.md").write_text(f"{other}\n")
    return tmp_path / "m.onnx", "onnx"


@pytest.mark.parametrize(
    "foreign", [foreign_file, foreign_saved_model, foreign_card, card_of_another]
)
def test_what_is_not_its_own_needs_overwrite(tmp_path, checkpoint, foreign):
    output, kind = foreign(tmp_path)
    with pytest.raises(ValueError, match="not made by export.py .* --overwrite"):
        check_output(output, kind, checkpoint)
    check_output(output, kind, checkpoint, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_kinds_are_not_mixed_and_folders_of_others_are_safe(
    tmp_path, checkpoint, overwrite
):
    (tmp_path / "file").write_text("dear")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("dear")
    (fill(tmp_path / "model") / "notes.txt").write_text("dear")
    (tmp_path / "n.onnx.md").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, kind, message in (
        ("file", "saved_model", "is a file, and a SavedModel is a folder"),
        ("photos", "onnx", "is a folder: it would be replaced"),
        ("photos", "saved_model", "other things in it: it would be replaced"),
        ("model", "saved_model", "other things in it: it would be replaced"),
        ("n.onnx", "onnx", "n.onnx.md is a folder"),
        ("pipe", "litert", "no plain file"),
    ):
        with pytest.raises(ValueError, match=message):
            check_output(tmp_path / name, kind, checkpoint, overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_checkpoint_is_never_replaced(tmp_path, checkpoint, overwrite):
    os.link(checkpoint, tmp_path / "m.onnx")
    os.link(checkpoint, tmp_path / "n.onnx.md")
    for name in ("m.onnx", "n.onnx"):
        with pytest.raises(ValueError, match="is the checkpoint itself"):
            check_output(tmp_path / name, "onnx", checkpoint, overwrite)


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("m.tflite", "onnx", "--output=m.onnx, or --format=litert, or"),
        ("m.onnx", "litert_int8", "--output=m.tflite, or --format=onnx"),
        ("m.ONNX", "saved_model", "--output=m, or --format=onnx"),
        ("m.keras", "saved_model", "--output=m$"),
        ("m.keras", "onnx", "--output=m.onnx$"),
        ("m.v2", "onnx", "--output=m.v2.onnx$"),
    ],
)
def test_suffix_and_format_must_agree(tmp_path, checkpoint, name, kind, remedy):
    with pytest.raises(ValueError, match=f"does not fit --format={kind}.*{remedy}"):
        check_output(tmp_path / name, kind, checkpoint, overwrite=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m", "onnx"), ("m.ONNX", "onnx"), ("m.v2", "saved_model"), ("m", "saved_model")],
)
def test_suffixes_that_contradict_nothing_are_taken(tmp_path, checkpoint, name, kind):
    check_output(tmp_path / name, kind, checkpoint)
