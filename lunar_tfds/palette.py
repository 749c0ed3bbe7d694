"""The one place that knows class ids, class names and mask colours.

Source: the dataset's author (Kaggle, DOI 10.34740/kaggle/dsv/489236) and real files:
red is sky, green small rock, blue large rock, black everything else.
"""

CLASS_NAMES = ("ground", "sky", "small_rock", "large_rock")
NUM_CLASSES = len(CLASS_NAMES)
GROUND, SKY, SMALL_ROCK, LARGE_ROCK = range(NUM_CLASSES)

# RGB, 0..255, exactly as in the author's `clean` files; the index is the class id.
CLASS_COLORS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
