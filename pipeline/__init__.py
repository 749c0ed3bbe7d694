"""Input pipeline: decode, one fused transform, batching, caching, sharding."""
