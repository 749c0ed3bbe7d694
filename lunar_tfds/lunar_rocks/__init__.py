"""The `lunar_rocks` dataset: source files to examples and splits."""
