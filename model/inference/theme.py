"""How the project's pages look: their colours, and the environment of templates."""

import dataclasses
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a page and of the charts in it, `#rrggbb`.

    Attributes:
        ink: text and what is most important.
        soft: axes and labels.
        page: the page's background.
        card: the background of charts and cards.
        line: between rows and around cards.
        right: what the network got right, and bars of scores.
        wrong: what it got wrong.
        warn: text of a warning.
    """

    ink: str
    soft: str
    page: str
    card: str
    line: str
    right: str
    wrong: str
    warn: str


# By `prefers-color-scheme`.
THEMES = {
    "light": Theme(
        ink="#1d1d1f",
        soft="#6b6b70",
        page="#fbfaf8",
        card="#ffffff",
        line="#e3e1dc",
        right="#3b6ea8",
        wrong="#d0553a",
        warn="#9a5b00",
    ),
    "dark": Theme(
        ink="#ececee",
        soft="#a0a0a8",
        page="#131316",
        card="#1c1c21",
        line="#34343b",
        right="#7fb0e6",
        wrong="#e8826b",
        warn="#e0a94e",
    ),
}


def environment(folder: pathlib.Path) -> Any:
    """Returns the `jinja2.Environment` of the pages whose templates lie in `folder`.

    All that is put into a page is escaped. Its templates may import from
    `style.html.j2`, beside this file, what all pages share.
    """
    # Only here, so that what imports this module does without the package.
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, pathlib.Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "words": lambda name: name.replace("_", " "),
        "rgb": lambda color: "rgb({}, {}, {})".format(*color),
    }
    return made
