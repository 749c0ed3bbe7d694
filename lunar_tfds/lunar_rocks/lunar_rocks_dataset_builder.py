"""The `lunar_rocks` dataset: renders of lunar scenes with semantic masks."""

import contextlib
import dataclasses
import itertools
import os
import pathlib

import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import (
    examples,
    frame_files,
    frame_reader,
    label_rules,
    parallel,
    shards,
    source_check,
    sources,
    unfinished_builds,
)

THRESHOLD_REASON = (
    "In ground files rocks go darker with distance; a rock counts from this intensity "
    "of 255. The author suggests 50 to 200 and used 100."
)


@dataclasses.dataclass(eq=False)
class LunarRocksConfig(tfds.core.BuilderConfig):
    """Another intensity from which rocks count in `ground_mask`.

    It builds into a folder of its own:
    `LunarRocks(config=LunarRocksConfig(name='threshold_50', ground_threshold=50))`.

    Attributes:
        ground_threshold: intensity, 1 to 255.
    """

    ground_threshold: int = palette.ROCK_THRESHOLD

    def __post_init__(self):
        if not self.name:
            raise ValueError(
                "A config needs a name, which becomes its folder: such as "
                f"name='threshold_{self.ground_threshold}'."
            )
        if not 1 <= self.ground_threshold <= 255:
            raise ValueError(
                f"ground_threshold is an intensity from 1 to 255: got "
                f"{self.ground_threshold}. The author used 100."
            )


@dataclasses.dataclass
class _Made:
    """What a dataset is made from and how, as far as it decides the examples."""

    fingerprint: str
    max_examples: int | None
    threshold: int
    left_out: int

    def __str__(self):
        return (
            f"with fingerprint {self.fingerprint}, at most "
            f"{self.max_examples or 'all'} examples a split, rocks from intensity "
            f"{self.threshold}, {self.left_out or 'no'} damaged frames left out"
        )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builder of `lunar_rocks`, from a folder, a zip or Kaggle.

    Args:
        leave_out_bad_frames: leave frames with missing or damaged files out and list
            them in the metadata, instead of stopping. By default what the environment
            variable LUNAR_ROCKS_LEAVE_OUT_BAD_FRAMES says (0 or 1), else False.
        **kwargs: of tfds.core.GeneratorBasedBuilder (data_dir, config, file_format).
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Both masks, boxes, defect lists; four splits."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = sources.STEPS
    pkg_dir_path = tfds.core.Path(pathlib.Path(__file__).parent)

    def __init__(self, *, leave_out_bad_frames=None, **kwargs):
        self._leave_out_bad_frames = leave_out_bad_frames
        super().__init__(**kwargs)
        self._original_state["leave_out_bad_frames"] = leave_out_bad_frames

    def _info(self):
        """Returns the dataset's features, description and metadata."""
        return self.dataset_info_from_configs(
            features=examples.features(),
            supervised_keys=("image", "ground_mask"),
            homepage=f"https://www.kaggle.com/datasets/{sources.HANDLE}",
            metadata=tfds.core.MetadataDict(),
        )

    @property
    def _leave_out(self):
        if self._leave_out_bad_frames is None:
            return _environment_switch(source_check.LEAVE_OUT_VARIABLE)
        return self._leave_out_bad_frames

    @property
    def ground_threshold(self):
        """The intensity from which a rock counts in `ground_mask`."""
        return getattr(self.builder_config, "ground_threshold", palette.ROCK_THRESHOLD)

    def download_and_prepare(
        self, *, download_dir=None, download_config=None, **kwargs
    ):
        """Builds the dataset, or reuses it when it was made from the same source.

        Args:
            download_dir: where Kaggle downloads and the default manual folder are.
            download_config: tfds.download.DownloadConfig; `manual_dir` is the folder
                with the dataset. Without one, as in `tfds.load`, a dataset that is
                there is used without a look at any source.
            **kwargs: of tfds.core.DatasetBuilder.download_and_prepare.

        Raises:
            ValueError: no source, a damaged one, or a dataset made from another one
                or otherwise than asked for.
        """
        config = download_config or tfds.download.DownloadConfig()
        downloads = tfds.core.Path(download_dir or self.data_dir_root / "downloads")
        self._manual_dir = tfds.core.Path(config.manual_dir or downloads / "manual")
        self._manual_dir = self._manual_dir.expanduser()
        reuse = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
        if self.is_prepared() and download_config and config.download_mode == reuse:
            self._refuse_other_source(config.max_examples_per_split)
        if not self.is_prepared() or config.download_mode.overwrite_dataset:
            unfinished_builds.remove(self.data_dir_root / self.name)
        super().download_and_prepare(
            download_dir=download_dir, download_config=download_config, **kwargs
        )

    def _refuse_other_source(self, max_examples):
        source = sources.find_source(self._manual_dir)
        if source is None:
            return
        made = dict(self.info.metadata.items())
        left_out = len(made.get("left_out_frames", ()))
        before = _Made(
            made.get("source_fingerprint"),
            made.get("max_examples_per_split"),
            made.get("ground_threshold"),
            left_out,
        )
        now = _Made(
            sources.fingerprint(source),
            max_examples,
            self.ground_threshold,
            left_out if self._leave_out else 0,
        )
        if before != now:
            raise ValueError(
                f"{self.data_dir} was made from the {made.get('source')}, {before}; "
                f"asked for is the {source.description}, {now}. Build it anew with "
                f"--overwrite (Python: "
                f"download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS), or use "
                f"another --data_dir."
            )

    def _download_and_prepare(self, dl_manager, download_config):
        """Surveys the source, writes the examples, then checks the labels as a set."""
        self._use_beam = bool(
            download_config.beam_options or download_config.beam_runner
        )
        self._max_examples = download_config.max_examples_per_split
        unfinished_builds.mark(self.data_dir)
        self._statistics = label_rules.Statistics()
        self._notes = []
        super()._download_and_prepare(dl_manager, download_config)
        self._collect_notes()
        unfinished_builds.unmark(self.data_dir)
        if self._max_examples == 0:
            return
        self._statistics.check()
        self.info.metadata.update(
            source=self._source.description,
            source_fingerprint=sources.fingerprint(self._source),
            max_examples_per_split=self._max_examples,
            class_pixel_counts=self._statistics.pixel_counts,
            ground_threshold=self.ground_threshold,
            ground_threshold_reason=THRESHOLD_REASON,
            defect_lists_present=sorted(self._survey.defects),
            left_out_frames=self._survey.left_out,
            label_rules=label_rules.summary(self._statistics),
        )

    def _generate_splits(self, dl_manager, download_config):
        """Writes every split and returns the list of their tfds.core.SplitInfo."""
        if self._use_beam:
            return super()._generate_splits(dl_manager, download_config)
        jobs = self._jobs(dl_manager)
        # One stream for all splits, so that threads read ahead over their borders.
        every_job = list(itertools.chain.from_iterable(jobs.values()))
        with contextlib.closing(parallel.ordered_map(self._read, every_job)) as found:
            results = iter(
                tfds.core.utils.tqdm(
                    found,
                    desc="Writing examples...",
                    unit=" examples",
                    total=len(every_job),
                    leave=False,
                )
            )
            splits = [
                shards.write(
                    self._generate_examples(
                        itertools.islice(results, len(jobs[split]))
                    ),
                    len(jobs[split]),
                    sum(self._source.sizes[frame.image] for frame, *_ in jobs[split]),
                    template=self._get_filename_template(split),
                    config=download_config.get_shard_config(),
                    writer=self._example_writer(),
                )
                for split in jobs
            ]
        return self._without_empty(splits)

    def _without_empty(self, splits):
        """Returns the splits that have any example, and removes the others' files."""
        for split in [split for split in splits if not split.num_examples]:
            logging.warning("No frame of the split %s can be used.", split.name)
            for path in split.filename_template.sharded_filepaths(split.num_shards):
                path.unlink()
            splits.remove(split)
        if not splits:
            raise ValueError(
                source_check.list_problems(self._survey.left_out, self._source)
            )
        return splits

    def _split_generators(self, dl_manager):
        """Returns the Beam transform of each split that has any examples."""
        from lunar_tfds.lunar_rocks import beam_pipeline  # Beam is needed only here.

        transforms = {}
        for split, jobs in self._jobs(dl_manager).items():
            path = self.data_path / f"notes-{split}.json"
            self._notes.append(path)
            transforms[split] = beam_pipeline.ReadFrames(
                self._source, jobs, self.ground_threshold, path
            )
        return transforms

    def _find_source(self, dl_manager):
        try:
            folder = dl_manager.manual_dir
        except AssertionError:  # It does not exist, or is empty.
            folder = self._manual_dir
        source = sources.find_source(folder) or sources.download()
        if source is None:
            raise ValueError(
                f"No lunar_rocks source in {folder}: neither images/render (there or "
                f"one folder deeper) nor a zip that holds it.\n{sources.STEPS}"
            )
        return source

    def _read(self, job):
        """Returns the Reading of a frame, and its example as bytes if it has one."""
        frame, boxes, defects = job
        result = frame_reader.read_frame(
            self._source, frame, boxes, self.ground_threshold
        )
        if result.problem:
            return result, None
        example = examples.example(result, boxes, defects)
        return result, examples.serialize(example)

    def _generate_examples(self, results):
        """Yields (frame id, bytes) of what `_read` returned, and adds up the rest."""
        for result, example in results:
            if result.problem:
                self._leave_out_or_stop({result.frame.frame_id: result.problem})
            else:
                self._statistics.add(result.statistics)
                yield result.frame.frame_id, example

    def _jobs(self, dl_manager):
        """Returns the jobs of each split that has any, after a look at the source."""
        leave_out = self._leave_out
        self._source = self._find_source(dl_manager)
        logging.info("Building lunar_rocks from the %s.", self._source.description)
        self._survey = source_check.look_over(
            self._source,
            leave_out=leave_out,
            read_files=not self._use_beam,
            max_frames=self._max_examples,
        )
        if self._survey.left_out:
            logging.warning(
                source_check.list_problems(self._survey.left_out, self._source)
            )
        jobs = {split: [] for split in frame_files.SPLITS}
        for frame in self._survey.frames:
            jobs[frame.split].append(self._job(frame))
        for split in [split for split in jobs if not jobs[split]]:
            logging.warning("Split %s has no frames and is left out.", split)
            del jobs[split]
        return {split: shards.shuffled(split, jobs[split]) for split in jobs}

    def _job(self, frame):
        boxes = self._survey.boxes.get(frame.frame_id, [])
        lists = self._survey.defects.items()
        return frame, boxes, [name for name, ids in lists if frame.frame_id in ids]

    def _collect_notes(self):
        problems = {}
        for path in self._notes:
            from lunar_tfds.lunar_rocks import beam_pipeline

            notes = beam_pipeline.read_notes(path)
            self._statistics.add(notes.statistics)
            problems |= notes.problems
        if problems:
            self._leave_out_or_stop(problems)

    def _leave_out_or_stop(self, problems):
        message = source_check.list_problems(problems, self._source)
        if not self._leave_out:
            raise ValueError(message)
        logging.warning(message)
        self._survey.left_out |= problems


def _environment_switch(name):
    value = os.environ.get(name, "0")
    if value not in ("", "0", "1"):
        raise ValueError(f"{name} is 0 or 1: got {value!r}.")
    return value == "1"
