"""Input pipeline: decode, one fused transform, batching, caching, sharding."""

import lunar_tfds  # noqa: F401, first: Ctrl-C is one line from then on.
