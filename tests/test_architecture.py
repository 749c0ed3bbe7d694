"""Holds the import arrows: launchers -> commands -> model -> pipeline -> lunar_tfds."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# The floors, from the top: a file imports from its own and from those below it.
FLOORS = ("commands", "model", "pipeline", "lunar_tfds")
# Which rooms of `model` a room may enter, besides itself.
ROOMS = {
    "network": set(),
    "training": {"network"},
    "inference": {"network"},
    "evaluation": {"network", "inference"},
    "export": {"network", "inference", "evaluation"},
}
LAUNCHERS = ("train", "evaluate", "predict", "export", "demo")


def python_files():
    files = [ROOT / f"{name}.py" for name in LAUNCHERS]
    for floor in FLOORS:
        files += sorted((ROOT / floor).rglob("*.py"))
    return [path.relative_to(ROOT).as_posix() for path in files]


def imported_modules(path):
    """Returns the dotted names that a file imports, wherever in the file."""
    tree = ast.parse((ROOT / path).read_text())
    package = path.rsplit("/", 1)[0].replace("/", ".") if "/" in path else ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", python_files())
def test_imports_follow_the_arrows(path):
    here, *inside = path.split("/")
    for name in imported_modules(path):
        top, *rest = name.split(".")
        assert top not in LAUNCHERS, f"{path} imports the launcher {top}.py"
        assert top != "tests", f"{path} imports {name}"
        if top not in FLOORS or not inside:
            continue
        assert FLOORS.index(top) >= FLOORS.index(here), f"{path} imports {name}"
        if here == top == "model":
            allowed = ROOMS[inside[0]] | {inside[0]}
            assert rest[0] in allowed, f"{path} imports {name}"


def test_every_folder_of_model_is_a_room():
    folders = {path.parent.name for path in (ROOT / "model").glob("*/*.py")}
    assert folders == set(ROOMS)
    assert [path.name for path in (ROOT / "model").glob("*.py")] == ["__init__.py"]


FLAGS_HOME = "lunar_tfds/command_line.py"


@pytest.mark.parametrize("path", python_files())
def test_one_module_knows_flags(path):
    if path == FLAGS_HOME:
        return
    for name in imported_modules(path):
        assert not name.startswith(("absl.flags", "absl.app", "argparse")), path


@pytest.mark.parametrize("module", ["vgg16_unet", "losses", "cost", "benchmark"])
def test_network_and_losses_do_not_import_tensorflow(module):
    names = list(imported_modules(f"model/network/{module}.py"))
    assert "keras" in {name.split(".")[0] for name in names} or module != "vgg16_unet"
    assert not [name for name in names if name.split(".")[0] == "tensorflow"]
