"""Evaluation: from a split to scores and a report."""
