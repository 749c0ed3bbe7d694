"""Training: from a configuration to the best checkpoint."""
