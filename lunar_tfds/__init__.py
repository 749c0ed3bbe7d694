"""The Artificial Lunar Rocky Landscape Dataset for TensorFlow Datasets."""
