"""Settings, the flags made of them, and how every command ends."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from lunar_tfds import command_line, settings
from lunar_tfds.lunar_rocks import problems
from lunar_tfds.settings import at_least, between, more_than, setting

PYPROJECT = pathlib.Path(__file__).parents[2] / "pyproject.toml"


@dataclasses.dataclass(frozen=True)
class Inner:
    FLAG_PREFIX = "inner_"

    strength: float = setting(0.5, "How strong.", between(0, 1))

    def __post_init__(self):
        settings.check(self)


@dataclasses.dataclass(frozen=True)
class Outer:
    size: int = setting(8, "Side, px.", at_least(1))
    rate: float = setting(1e-3, "Peak.", more_than(0))
    kind: str = setting("a", "Which.", choices=("a", "b"))
    channels: int = setting(3, "Of the image.", choices=(1, 3))
    names: tuple = setting((), "Some.")
    draw: bool = setting(True, "Whether.")
    limit: int | None = setting(None, "At most.", at_least(0))
    folder: str = setting("runs", "Where.", is_path=True)
    file: str | None = setting("x", "What.", missing="pass a file")
    inner: Inner = Inner()

    def __post_init__(self):
        settings.check(self)


def parse(*arguments):
    return command_line.parse(Outer, ["command", *arguments])


def test_without_flags_the_settings_are_the_defaults():
    assert parse() == Outer()


def test_every_kind_of_flag_reaches_its_field(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    found = parse(
        *("--size=9", "--rate=1", "--kind=b", "--channels=1", "--names=x,y"),
        *("--nodraw", "--limit=0", "--folder=~/run", "--inner_strength=1"),
    )
    assert found == Outer(
        *(9, 1.0, "b", 1, ("x", "y"), False, 0, "/home/someone/run", "x", Inner(1.0))
    )
    assert settings.from_dict(Outer, settings.as_dict(found)) == found
    assert settings.as_dict(found)["inner_strength"] == 1.0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--size=0", "--size=0: must be at least 1"),
        ("--limit=-1", "--limit=-1: must be 0 or more"),
        ("--rate=0", "--rate=0.0: must be more than 0"),
        ("--rate=nan", "--rate=nan: must be a finite number"),
        ("--rate=inf", "--rate=inf: must be a finite number"),
        ("--kind=c", "--kind=c: value should be one of <a|b>"),
        ("--channels=2", "--channels=2: value should be one of <1|3>"),
        ("--inner_strength=2", "--inner_strength=2.0: must be 0 to 1"),
        ("--size=many", "size=many"),
        ("--sise=8", "Unknown command line flag 'sise'"),
        ("stray", "unknown arguments: stray"),
    ],
)
def test_a_wrong_argument_is_named(argument, message):
    with pytest.raises(ValueError) as error:
        parse(argument)
    assert message in str(error.value)


def test_a_positional_setting_takes_no_flag():
    @dataclasses.dataclass(frozen=True)
    class Reads:
        POSITIONAL = "file"

        file: str | None = setting(None, "What.", missing="pass a file")
        size: int = setting(1, "How much.")

        def __post_init__(self):
            settings.check(self)

    def read(*arguments):
        return command_line.parse(Reads, ["read", *arguments])

    assert read("x") == read("--file=x") == Reads("x")
    assert read("x", "--size=2") == read("--size=2", "x") == Reads("x", 2)
    with pytest.raises(ValueError, match="unknown arguments: y"):
        read("--file=x", "y")
    with pytest.raises(ValueError, match="unknown arguments: x y"):
        read("x", "y")
    with pytest.raises(ValueError, match="--file is missing: pass a file"):
        read()


def test_a_value_of_another_type_and_a_missing_one_are_named():
    with pytest.raises(ValueError, match="--size=8: must be int"):
        Outer(size="8")
    with pytest.raises(ValueError, match="--draw=1: must be bool"):
        Outer(draw=1)

    @dataclasses.dataclass(frozen=True)
    class Needs:
        file: str | None = setting(None, "What.", missing="pass a file")

        def __post_init__(self):
            settings.check(self)

    with pytest.raises(ValueError, match="--file is missing: pass a file"):
        Needs()


def test_values_become_what_their_fields_say():
    found = Outer(
        *(np.int64(9), np.float32(0.5), "b", np.uint8(1), ["x"], False, np.int16(0)),
        *(pathlib.Path("a"), pathlib.Path("b"), Inner(1)),
    )
    plain = Outer(9, 0.5, "b", 1, ("x",), False, 0, "a", "b", Inner(1.0))
    assert json.dumps(settings.as_dict(found)) == json.dumps(settings.as_dict(plain))
    read = json.loads(json.dumps(settings.as_dict(found)))
    assert settings.from_dict(Outer, read) == found == plain


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"names": "shadow"}, "--names=shadow: must be tuple"),
        ({"rate": np.float32("nan")}, "--rate=nan: must be a finite number"),
        ({"folder": 3}, "--folder=3: must be str"),
        ({"size": 8.5}, "--size=8.5: must be int"),
        ({"size": True}, "--size=True: must be int"),
    ],
)
def test_values_that_would_change_are_refused(values, message):
    for make in (lambda: Outer(**values), lambda: settings.from_dict(Outer, values)):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_flag_and_a_field_are_one():
    from absl import flags

    values = flags.FlagValues()
    command_line.define_flags(Outer, values)
    defaults = {name: values[name].default for name in values}
    as_flags = settings.as_dict(Outer()) | {"names": []}
    assert defaults == as_flags
    helps = {f.name: f.metadata["help"] for f in dataclasses.fields(Outer)[:-1]}
    assert all(helps[name] in values[name].help for name in helps)


def ends(error, *arguments):
    def main(config):
        if error:
            raise error

    return command_line.run(Outer, main, ["command", *arguments])


def test_the_exit_status_and_the_one_line(caplog):
    assert ends(None) == 0
    assert command_line.run(Outer, lambda config: 3, ["command"]) == 3
    for error in (ValueError("no"), FileNotFoundError(2, "gone", "x"), OSError("full")):
        caplog.clear()
        assert ends(error) == 1
        (record,) = caplog.records
        assert str(error) in record.message and "--traceback" in record.message
    caplog.clear()
    assert ends(None, "--size=0") == 1 and "must be at least 1" in caplog.text
    caplog.clear()
    assert ends(None, "--unknown=1") == 1 and "--help" in caplog.text
    assert ends(KeyboardInterrupt()) == 130
    with pytest.raises(ValueError, match="no"):
        ends(ValueError("no"), "--traceback")
    with pytest.raises(RuntimeError):  # A bug, which a user cannot mend.
        ends(RuntimeError("bug"))


@pytest.mark.parametrize("flag", ["--traceback", "-traceback", "--traceback=true"])
def test_every_way_to_ask_for_the_traceback_shows_it(flag):
    with pytest.raises(ValueError, match="no"):
        ends(ValueError("no"), flag)
    with pytest.raises(ValueError, match="--size=0"):
        ends(None, "--size=0", flag)
    assert ends(ValueError("no"), flag, "--traceback=false") == 1


def test_an_error_is_one_line_and_a_listing_of_files_stays_one():
    assert command_line.one_line(ValueError("a\nb: c\nd")) == "a b: c d"
    listing = problems.message({"0001": "cut short", "0002": "empty"}, "folder x")
    assert listing.count("\n") == 3
    assert command_line.one_line(ValueError(listing)) == listing


def test_a_missing_package_is_one_line_that_names_its_extra(caplog):
    missing = ModuleNotFoundError("no", name="matplotlib.pyplot")
    assert ends(missing) == 1
    assert "matplotlib is not installed: pip install -e '.[train]'" in caplog.text
    with pytest.raises(ModuleNotFoundError):  # A bug: this project has no such extra.
        ends(ModuleNotFoundError("no", name="matplotlib_of_another_name"))


def test_the_extras_are_those_of_the_project():
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    packages = {"cv2": "opencv-python-headless"}
    for module, extra in command_line.EXTRA_OF.items():
        package = packages.get(module, module.replace("_", "-"))
        lines = project["optional-dependencies"][extra]
        found = [re.split(r"[><=\[]", line)[0] for line in lines]
        assert package in found, module


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("ResourceExhaustedError", "smaller"),
        ("NotFoundError", "missing"),
        ("DataLossError", "--overwrite"),
        ("AbortedError", "one more"),
    ],
)
def test_an_error_of_tensorflow_is_one_line_with_its_remedy(kind, remedy, caplog):
    import tensorflow as tf

    text = "{{function_node f}} one more\n\t [[node x]]"
    assert ends(getattr(tf.errors, kind)(None, None, text)) == 1
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert kind in record.message and remedy in record.message
    assert "\n" not in record.message and "node" not in record.message


def test_help_tells_every_flag_its_default_and_its_choices(capsys):
    assert (
        command_line.run(Outer, test_a_flag_and_a_field_are_one, ["c", "--help"]) == 0
    )
    text = capsys.readouterr().out
    assert "Settings, the flags made of them" in text
    assert "--kind=a\n      <a|b>: Which." in text and "--inner_strength=0.5" in text


def test_a_module_can_be_started_and_prints_one_line():
    command = [sys.executable, "-m", "lunar_tfds.synthetic", "--num_scenes=2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "--output_dir is missing" in line
