"""Inference: from people's images to class masks."""
