"""The `lunar_rocks` dataset: renders of lunar scenes with semantic masks."""

import collections
import concurrent.futures
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import annotations, layout, reading, sources

HANDLE = "romainpessia/artificial-lunar-rocky-landscape-dataset"


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builder of `lunar_rocks`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Download https://www.kaggle.com/datasets/{HANDLE}"
    pkg_dir_path = tfds.core.Path(pathlib.Path(__file__).parent)

    def _info(self):
        """Returns the dataset's metadata."""
        mask = tfds.features.LabeledImage(
            labels=list(palette.CLASS_NAMES),
            shape=(None, None, 1),
            encoding_format="png",
        )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(None, None, 3), encoding_format="png"
                    ),
                    "ground_mask": mask,
                    "clean_mask": mask,
                    "frame_id": tfds.features.Text(),
                    "objects": tfds.features.Sequence(
                        {"bbox": tfds.features.BBoxFeature()}
                    ),
                    "defects": {name: np.bool_ for name in annotations.DEFECTS},
                }
            ),
            supervised_keys=("image", "ground_mask"),
            homepage=f"https://www.kaggle.com/datasets/{HANDLE}",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        """Returns a generator of examples per split that has any."""
        source = sources.find_source(dl_manager.manual_dir)
        if source is None:
            raise ValueError(f"No dataset in {dl_manager.manual_dir}")
        logging.info("Building from %s.", source.description)
        frames, problems, _ = layout.find_frames(source.sizes)
        if problems:
            raise ValueError(f"{len(problems)} problems: {problems}")
        boxes, defects = self._annotations(source)
        threshold = palette.ROCK_THRESHOLD
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            readings = dict(
                zip(
                    [frame.frame_id for frame in frames],
                    pool.map(
                        lambda f: reading.read_frame(source, f, threshold), frames
                    ),
                    strict=True,
                )
            )
        problems = {i: r.problem for i, r in readings.items() if r.problem}
        if problems:
            raise ValueError(f"{len(problems)} problems: {problems}")
        counts = collections.defaultdict(
            lambda: {
                "ground_mask": [0] * palette.NUM_CLASSES,
                "clean_mask": [0] * palette.NUM_CLASSES,
            }
        )
        for frame in frames:
            for key, values in readings[frame.frame_id].pixel_counts.items():
                old = counts[frame.split][key]
                counts[frame.split][key] = [
                    a + b for a, b in zip(old, values, strict=True)
                ]
        self.info.metadata.update(
            class_pixel_counts=dict(counts),
            source_fingerprint=sources.fingerprint(source),
            ground_threshold=threshold,
            defect_lists_present=sorted(defects),
            left_out_frames={},
        )
        generators = {}
        for split in layout.SPLITS:
            members = [frame for frame in frames if frame.split == split]
            if members:
                generators[split] = self._generate_examples(
                    source, members, readings, boxes, defects
                )
            else:
                logging.warning("Split %s has no frame and is left out.", split)
        return generators

    def _annotations(self, source):
        boxes = {}
        if annotations.BOXES_FILE in source.sizes:
            boxes = annotations.read_boxes(source.read(annotations.BOXES_FILE))
        defects = {
            name: annotations.read_defect_list(source.read(f"{name}_IDs.txt"))
            for name in annotations.DEFECTS
            if f"{name}_IDs.txt" in source.sizes
        }
        return boxes, defects

    def _generate_examples(self, source, frames, readings, boxes, defects):
        """Yields (frame id, example)."""
        for frame in frames:
            found = readings[frame.frame_id]
            yield (
                frame.frame_id,
                {
                    "image": reading.read_image(source, frame),
                    "ground_mask": found.ground_mask,
                    "clean_mask": found.clean_mask,
                    "frame_id": frame.frame_id,
                    "objects": [
                        {
                            "bbox": tfds.features.BBox(
                                ymin=top / layout.FRAME_HEIGHT,
                                xmin=left / layout.FRAME_WIDTH,
                                ymax=bottom / layout.FRAME_HEIGHT,
                                xmax=right / layout.FRAME_WIDTH,
                            )
                        }
                        for top, left, bottom, right in boxes.get(frame.frame_id, ())
                    ],
                    "defects": {
                        name: frame.frame_id in defects.get(name, ())
                        for name in annotations.DEFECTS
                    },
                },
            )
