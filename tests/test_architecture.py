"""Holds the import arrows: launchers -> commands -> model -> pipeline -> lunar_tfds."""

import ast
import dataclasses
import importlib
import pathlib
import sys

from absl import flags

from lunar_tfds import command_line, settings

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
LAUNCHERS = ("train", "evaluate", "predict", "export", "demo", "app")


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


def test_imports_follow_the_arrows():
    for path in python_files():
        check_arrows(path)


def check_arrows(path):
    here, *inside = path.split("/")
    for name in imported_modules(path):
        top, *rest = name.split(".")
        assert top not in LAUNCHERS, f"{path} imports the launcher {top}.py"
        assert top not in {"tests", "benchmarks"}, f"{path} imports {name}"
        if not inside:
            assert top in {"commands", *sys.stdlib_module_names}, f"{path}: {name}"
            continue
        if top not in FLOORS:
            continue
        assert FLOORS.index(top) >= FLOORS.index(here), f"{path} imports {name}"
        if here == top == "model":
            allowed = ROOMS[inside[0]] | {inside[0]}
            assert rest[0] in allowed, f"{path} imports {name}"


def test_the_builder_and_the_renderer_know_nothing_of_each_other():
    rooms = ("lunar_rocks", "synthetic"), ("synthetic", "lunar_rocks")
    for path in python_files():
        for room, other in rooms:
            if path.startswith(f"lunar_tfds/{room}/"):
                for name in imported_modules(path):
                    assert not name.startswith(f"lunar_tfds.{other}"), f"{path}: {name}"


def test_every_folder_of_model_is_a_room():
    folders = {path.parent.name for path in (ROOT / "model").glob("*/*.py")}
    assert folders == set(ROOMS)
    assert [path.name for path in (ROOT / "model").glob("*.py")] == ["__init__.py"]


FLAGS_HOME = "lunar_tfds/command_line.py"


def test_one_module_knows_flags():
    for path in python_files():
        for name in imported_modules(path) if path != FLAGS_HOME else ():
            assert not name.startswith(("absl.flags", "absl.app", "argparse")), path


def modules():
    """Returns every module of the floors, imported."""
    names = [p[:-3].replace("/", ".").removesuffix(".__init__") for p in python_files()]
    names = [name for name in names if name not in LAUNCHERS]
    return [importlib.import_module(name) for name in names]


def test_importing_any_module_defines_no_global_flag():
    own = {module.__name__ for module in modules()}
    defined = flags.FLAGS.flags_by_module_dict()
    assert not own & defined.keys()


def settings_classes():
    """Returns every settings class of the floors and of the tests' tools."""
    tools = "tests.support.kill_and_resume", "tests.support.mutate_sources"
    found = {
        value
        for module in (*modules(), *map(importlib.import_module, tools))
        for value in vars(module).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and any("help" in field.metadata for field in dataclasses.fields(value))
    }
    assert len(found) >= 15
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def fields_of(kind):
    """Yields (name of the flag, field) of each setting, nested ones too."""
    for field in dataclasses.fields(kind):
        if settings.is_settings(field):
            yield from fields_of(type(field.default))
        else:
            yield f"{settings.flag_prefix(kind)}{field.name}", field


def test_a_flag_and_a_field_are_one_in_every_command():
    for kind in settings_classes():
        values = flags.FlagValues()
        command_line.define_flags(kind, values)
        assert set(values) == {name for name, _ in fields_of(kind)}, kind
        for name, field in fields_of(kind):
            default = field.default
            default = list(default) if isinstance(default, tuple) else default
            assert values[name].default == default, f"{kind}.{name}"
            assert values[name].help.endswith(field.metadata["help"])
            assert len(field.metadata["help"]) > 3


def untyped(path):
    """Yields the public functions of a file that lack a type."""

    def of(node, prefix):
        for item in getattr(node, "body", []):
            if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
                yield from of(item, f"{item.name}.")
            if not isinstance(item, ast.FunctionDef):
                continue
            if item.name.startswith("_") and item.name not in ("__init__", "__call__"):
                continue
            named = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            bare = [a.arg for a in named if a.annotation is None]
            if set(bare) - {"self", "cls"} or (
                item.returns is None and item.name != "__init__"
            ):
                yield f"{prefix}{item.name}"

    return list(of(ast.parse((ROOT / path).read_text()), ""))


def test_every_public_function_is_typed():
    assert {path: bare for path in python_files() if (bare := untyped(path))} == {}


def test_network_and_losses_do_not_import_tensorflow():
    encoders = "vgg16", "efficientnet_lite0"
    files = [
        f"model/network/{module}.py" for module in ("unet", *encoders, "losses", "cost")
    ]
    for path in (*files, "benchmarks/network.py", "benchmarks/harness.py"):
        tops = {name.split(".")[0] for name in imported_modules(path)}
        assert "keras" in tops or pathlib.Path(path).stem not in ("unet", *encoders)
        assert "tensorflow" not in tops
