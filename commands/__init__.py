"""The commands: flags, one-line errors, exit statuses."""

import lunar_tfds  # noqa: F401, first: Ctrl-C is one line from then on.
