"""Network, losses, metrics, training loop, checkpoints, prediction."""
