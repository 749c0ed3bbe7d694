"""Export: from a checkpoint to a file that runs without this project."""
