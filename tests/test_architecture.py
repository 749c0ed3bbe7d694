"""Holds the import arrows: entry points -> lunar_tfds, pipeline, model."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("lunar_tfds", "pipeline", "model")
ENTRY_POINTS = ("train", "evaluate", "predict", "export", "demo")

# What one package may import from another, each with its reason.
ALLOWED = {
    # Class ids, names and colours have one home; anything may read it.
    "*": {"lunar_tfds.palette"},
    # The same frame must be resized in the same way at training and prediction.
    "model/predictor.py": {"pipeline.resize"},
    # A benchmark and a preview need frames of the true size and kind.
    "pipeline/benchmark_frames.py": {"lunar_tfds"},
    "pipeline/preview.py": {"lunar_tfds.synthetic"},
}


def python_files():
    files = [ROOT / f"{name}.py" for name in ENTRY_POINTS]
    for package in PACKAGES:
        files += sorted((ROOT / package).rglob("*.py"))
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


def may_import(path, name):
    allowed = ALLOWED["*"] | ALLOWED.get(path, set())
    return any(name == home or name.startswith(f"{home}.") for home in allowed)


@pytest.mark.parametrize("path", python_files())
def test_imports_follow_the_arrows(path):
    here = path.split("/")[0] if "/" in path else None
    for name in imported_modules(path):
        top = name.split(".")[0]
        assert top not in ENTRY_POINTS, f"{path} imports the entry point {top}.py"
        assert top != "tests", f"{path} imports {name}"
        if here and top in PACKAGES and top != here:
            assert may_import(path, name), f"{path} must not import {name}"


@pytest.mark.parametrize("path", python_files())
def test_only_what_is_run_as_a_command_defines_flags(path):
    imports_flags = any(
        name in ("absl.flags", "argparse") or name.startswith("argparse.")
        for name in imported_modules(path)
    )
    is_command = "/" not in path or path.endswith("/__main__.py")
    if imports_flags and not is_command:
        assert 'if __name__ == "__main__":' in (ROOT / path).read_text(), path


@pytest.mark.parametrize("module", ["vgg16_unet", "losses", "summary", "benchmark"])
def test_network_and_losses_do_not_import_tensorflow(module):
    names = list(imported_modules(f"model/{module}.py"))
    assert "keras" in {name.split(".")[0] for name in names} or module != "vgg16_unet"
    assert not [name for name in names if name.split(".")[0] == "tensorflow"]
