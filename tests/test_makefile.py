"""Which Python the Makefile takes, and what it says where there is none."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MAKE = shutil.which("make")
SUPPORTED = ("3.11", "3.12", "3.13")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def python(path, version):
    """Writes a program that says it is a Python of this version; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = f"({version.replace('.', ', ')}, 0)"
    path.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = {info}\n'
        '$2"\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def venv(tmp_path):
    """Returns a function that makes an environment of a version, as installed."""

    def make(version):
        folder = python(tmp_path / "venv/bin/python", version).parents[1]
        (folder / "pyvenv.cfg").write_text("")
        for stamp in (".installed", ".test"):
            (folder / stamp).write_text("")
        return folder

    return make


def run(tmp_path, *arguments):
    """Runs make where only the Pythons in `tmp_path / "path"` are found."""
    return subprocess.run(
        [MAKE, f"VENV={tmp_path / 'venv'}", *arguments],
        cwd=ROOT,
        env={
            name: value
            for name, value in os.environ.items()
            if name != "PYTHON" and not name.startswith("MAKE")
        }
        | {"PATH": str(tmp_path / "path")},
        capture_output=True,
        text=True,
    )


def new_venvs(result):
    assert result.returncode == 0 and not result.stderr
    return [line for line in result.stdout.splitlines() if " -m venv " in line]


def test_a_supported_python_is_found_and_a_later_one_left_alone(tmp_path):
    python(tmp_path / "path/python3", "3.14")
    python(tmp_path / "path/python", "3.13")
    made = new_venvs(run(tmp_path, "-n", "install"))
    assert made == [f"python -m venv {tmp_path / 'venv'}"]


@pytest.mark.parametrize("version", SUPPORTED)
def test_without_a_named_python_the_environment_stays(tmp_path, venv, version):
    venv(version)
    python(tmp_path / "path/python3.11", "3.11")
    result = run(tmp_path, "-n", "test")
    assert not new_venvs(result) and "pip install" not in result.stdout
    assert f"{tmp_path / 'venv'}/bin/python -m pytest" in result.stdout


def test_another_named_python_makes_the_environment_anew(tmp_path, venv):
    venv("3.11")
    named = python(tmp_path / "path/python3.13", "3.13")
    for name in ("python3.13", str(named)):
        result = run(tmp_path, "-n", "test", f"PYTHON={name}")
        assert new_venvs(result) == [f"{name} -m venv --clear {tmp_path / 'venv'}"]
        assert "pip install" in result.stdout
    same = python(tmp_path / "path/python3.11", "3.11")
    assert not new_venvs(run(tmp_path, "-n", "test", f"PYTHON={same}"))


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path, venv):
    (venv("3.12") / "bin/python").unlink()
    python(tmp_path / "path/python3.11", "3.11")
    (made,) = new_venvs(run(tmp_path, "-n", "test"))
    assert made == f"python3.11 -m venv --clear {tmp_path / 'venv'}"


def test_a_folder_that_is_no_environment_is_not_cleared(tmp_path):
    (tmp_path / "venv").mkdir()
    python(tmp_path / "path/python3.11", "3.11")
    assert "--clear" not in new_venvs(run(tmp_path, "-n", "install"))[0]


@pytest.mark.parametrize("named", [None, "python3.14", "python3.9", "no-such-python"])
def test_no_python_is_one_line_with_the_remedy(tmp_path, venv, named):
    python(tmp_path / "path/python3.14", "3.14")
    for name in ("python3", "python3.9"):
        python(tmp_path / "path" / name, "3.9")
    if named:  # Never the one that the environment happens to have.
        venv("3.11")
    result = run(tmp_path, "install", *([f"PYTHON={named}"] if named else []))
    assert result.returncode == 2
    what = f"PYTHON={named} is not one" if named else "none was found on PATH"
    assert result.stdout == (
        f"Python 3.11, 3.12 or 3.13 is needed and {what}. Get one by 'uv python "
        "install 3.13' or 'pyenv install 3.13' and name it: make install "
        "PYTHON=/path/to/python3.13\n"
    )
    assert len(result.stderr.splitlines()) == 1  # Make's own.


def test_all_places_agree_on_the_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classifiers = " ".join(project["classifiers"])
    assert tuple(re.findall(r"Python :: (3\.\d+)", classifiers)) == SUPPORTED
    assert project["requires-python"] == ">=3.11,<3.14"
    makefile = (ROOT / "Makefile").read_text()
    assert "not (3, 11) <= sys.version_info[:2] < (3, 14)" in makefile
    assert " ".join(f"python{version}" for version in SUPPORTED) in makefile
    for page in ("Makefile", "README.md"):
        assert "Python 3.11, 3.12 or 3.13" in (ROOT / page).read_text()
