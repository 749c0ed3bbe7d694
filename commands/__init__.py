"""The commands: flags, one-line errors, exit statuses."""

import model  # noqa: F401, first: it says which kernels TensorFlow takes.
