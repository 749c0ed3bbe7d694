"""What the results of images are called: short, unique, and printable."""

import collections
import hashlib
import os
import pathlib
from collections.abc import Sequence

# Bytes of a name, before an ending such as _probabilities.npz; many file systems allow
# 255 for both and a temporary file's prefix, encrypted ones 143.
MAX_BYTES = 100


def result_names(paths: Sequence[str]) -> list[str]:
    """Returns what results are called: stems, or whole paths where stems are alike.

    They differ in more than case, which some file systems ignore.
    """
    stems = [pathlib.PurePosixPath(path).stem for path in paths]
    count = collections.Counter(map(str.casefold, stems))
    names: dict[str, str] = {}
    underscores: collections.Counter[str] = collections.Counter()
    for path, stem in zip(paths, stems, strict=True):
        word = shorten(stem if count[stem.casefold()] == 1 else _as_word(path))
        key = word.casefold()
        # Names that still clash get underscores; each word knows how many it has used.
        while (unique := key + "_" * underscores[key]) in names:
            underscores[key] += 1
        names[unique] = word + "_" * underscores[key]
    return [shorten(name) for name in names.values()]


def shorten(name: str) -> str:
    """Returns a name of at most `MAX_BYTES`: its start, and a digest of all of it."""
    data = os.fsencode(name)
    if len(data) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: MAX_BYTES - 13].decode(errors='ignore')}-{digest}"


def printable(text: str) -> str:
    r"""Returns text that UTF-8 can hold: what it cannot as \udce9.

    Bytes of a file's name that are no UTF-8 are read as such lone surrogates.
    """
    return text.encode(errors="backslashreplace").decode()


def harmless(text: str) -> str:
    """Returns `printable` text that no spreadsheet takes for a formula.

    An apostrophe goes before a leading =, +, -, @, tab or carriage return (OWASP, "CSV
    Injection").
    """
    text = printable(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _as_word(path: str) -> str:
    """Returns a path as one word: `a/b.png` becomes `a_b_png`."""
    parts = [part for part in pathlib.PurePosixPath(path).parts if part.strip("/.")]
    return "_".join(parts).replace(".", "_")
