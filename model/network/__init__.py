"""The network: its layers, losses, scores, costs and file."""
