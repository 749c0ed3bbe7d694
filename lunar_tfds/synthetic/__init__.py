"""Lunar scenes drawn by this project, written in the Kaggle dataset's layout.

Nothing here comes from the dataset's pixels: terrain, rocks and light are computed.
"""
