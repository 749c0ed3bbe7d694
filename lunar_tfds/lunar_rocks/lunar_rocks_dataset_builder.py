"""The `lunar_rocks` dataset: renders of lunar scenes with semantic masks."""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.lunar_rocks import (
    encode,
    frame_files,
    judge,
    parallel,
    problems,
    reuse,
    source_check,
    sources,
    tfds_internals,
    unfinished_builds,
)
from lunar_tfds.lunar_rocks.frame_to_example import Job, Outcome, make_example
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.verdict import verdict
from lunar_tfds.ownership import owned

THRESHOLD_REASON = (
    "In ground files rocks go darker with distance; a rock counts from this intensity "
    "of 255. The author suggests 50 to 200 and used 100."
)
_MANUAL = "manual"  # What TFDS calls its manual folder.
_AS_IT_IS = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS


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


class Builder(tfds_internals.StreamingBuilder):
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

    def __init__(self, *, leave_out_bad_frames: bool | None = None, **kwargs: Any):
        if kwargs.get("data_dir"):  # No shell expands `tfds build --data_dir=~/data`.
            kwargs["data_dir"] = os.path.expanduser(kwargs["data_dir"])
        self._arguments = {"leave_out_bad_frames": leave_out_bad_frames, **kwargs}
        self._leave_out_bad_frames = leave_out_bad_frames
        # What is built anew may have other masks than what lies in the folder.
        self._masks: tuple[str, ...] | None = None
        self._new_info: tfds.core.DatasetInfo | None = None
        super().__init__(**kwargs)

    def __reduce__(self):
        return functools.partial(type(self), **self._arguments), ()

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns the dataset's features, description and metadata.

        A dataset that is there keeps the masks that it was built with.
        """
        masks = self._masks or encode.built_masks(self.data_path)
        return self.dataset_info_from_configs(
            features=encode.features(masks),
            supervised_keys=("image", kaggle_layout.mask_name(masks[0])),
            homepage=f"https://www.kaggle.com/datasets/{sources.HANDLE}",
            metadata=tfds.core.MetadataDict(),
        )

    @property
    def info(self) -> tfds.core.DatasetInfo:
        """What is known of the dataset."""
        return self._new_info or super().info

    @property
    def _leave_out(self) -> bool:
        if self._leave_out_bad_frames is None:
            return problems.leave_out_by_environment()
        return self._leave_out_bad_frames

    @property
    def ground_threshold(self) -> int:
        """The intensity from which a rock counts in `ground_mask`."""
        return getattr(self.builder_config, "ground_threshold", palette.ROCK_THRESHOLD)

    def download_and_prepare(
        self,
        *,
        download_dir: str | os.PathLike | None = None,
        download_config: tfds.download.DownloadConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Builds the dataset, or reuses it when it was made from the same source.

        Args:
            download_dir: where Kaggle downloads and the default manual folder are.
            download_config: tfds.download.DownloadConfig; `manual_dir` is the folder
                with the dataset, or its zip. Without a config, as in `tfds.load`, a
                dataset that is there is used without a look at any source.
            **kwargs: of tfds.core.DatasetBuilder.download_and_prepare.

        Raises:
            ValueError: no source, a damaged one, a dataset made from another one or
                otherwise than asked for, or one that another process is building.
        """
        if download_dir:
            download_dir = os.path.expanduser(download_dir)
        config = download_config or tfds.download.DownloadConfig()
        downloads = tfds.core.Path(download_dir or self.data_dir_root / "downloads")
        downloads = downloads.expanduser()
        with contextlib.ExitStack() as stack:
            if not self.is_prepared() or config.download_mode.overwrite_dataset:
                _ = self._leave_out  # A wrong value stops here, before a download.
                named = _named_source(config)
                # Before a download, of which the second builder would make nothing.
                stack.enter_context(owned(self.data_dir, "--data_dir"))
                self._source = named or _unnamed_source(downloads)
                logging.info(
                    "Building lunar_rocks from the %s.", self._source.description
                )
                self._take_masks(self._source.masks)
                self._tell_of_jpeg()
                unfinished_builds.remove(self.data_dir_root / self.name)
            elif download_config and config.download_mode == _AS_IT_IS:
                named = _named_source(config)
                if source := named or sources.find_source(downloads / _MANUAL):
                    self._check_reuse(source, config.max_examples_per_split)
            super().download_and_prepare(
                download_dir=download_dir, download_config=download_config, **kwargs
            )

    def _take_masks(self, masks: tuple[str, ...]) -> None:
        """Makes the dataset to build one with the masks of its source."""
        for kind in sorted(set(kaggle_layout.MASKS) - set(masks)):
            logging.warning(
                "No %s, so the dataset has no %s, only %s.",
                f"{kaggle_layout.IMAGES}/{kind}",
                kaggle_layout.mask_name(kind),
                ", ".join(map(kaggle_layout.mask_name, masks)),
            )
        if masks != encode.masks_of(self.info.features):
            self._masks = masks
            new_info = self._info()
            new_info.set_file_format(self.info.file_format)
            self._new_info = new_info

    def _tell_of_jpeg(self) -> None:
        if count := sum(map(kaggle_layout.is_jpeg, self._source.sizes)):
            logging.warning(
                "%d pictures are JPEG files, which have lost the fine grain of the "
                "originals: train and score on the PNG files if you can get them.",
                count,
            )

    def _check_reuse(self, source: sources.Source, max_examples: int | None) -> None:
        """Raises ValueError if another dataset is asked for than the one there is."""
        wanted = reuse.Making(
            sources.fingerprint(source), max_examples, self.ground_threshold
        )
        reuse.check(self.data_dir, self.info.metadata, source, wanted, self._leave_out)

    @contextlib.contextmanager
    def streams(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> Iterator[dict[str, tfds_internals.Stream] | None]:
        """Yields the examples of each split, after a look at the source."""
        unfinished_builds.mark(self.data_dir)
        uses_beam = bool(download_config.beam_options or download_config.beam_runner)
        self._max_examples = download_config.max_examples_per_split
        self._statistics = Statistics()
        self._bad: dict[str, str] = {}
        self._notes: list[tfds.core.Path] = []
        self._look_over(leave_out=self._leave_out, read_files=not uses_beam)
        if uses_beam:
            yield None
            return
        # One stream for all splits, so that threads read ahead over their borders.
        every_job = list(itertools.chain.from_iterable(self._jobs.values()))
        with contextlib.closing(parallel.ordered_map(self._make, every_job)) as made:
            made = iter(
                tfds.core.utils.tqdm(
                    made,
                    desc="Writing examples...",
                    unit=" examples",
                    total=len(every_job),
                    leave=False,
                )
            )
            yield {
                split: tfds_internals.Stream(
                    self._generate_examples(itertools.islice(made, len(jobs))),
                    len(jobs),
                    sum(self._source.sizes[job.frame.image] for job in jobs),
                )
                for split, jobs in self._jobs.items()
            }

    def _look_over(self, *, leave_out: bool, read_files: bool) -> None:
        """Finds the jobs of each split that has any, in the order of its examples."""
        findings = source_check.look_over(
            self._source,
            leave_out=leave_out,
            read_files=read_files,
            max_frames=self._max_examples,
        )
        self._left_out = findings.left_out
        self._defect_lists = findings.defect_lists
        if self._left_out:
            logging.warning(problems.message(self._left_out, self._source.description))
        self._jobs: dict[str, list[Job]] = {}
        for split in frame_files.SPLITS:
            jobs = {
                job.frame.frame_id: job
                for job in findings.jobs
                if job.frame.split == split
            }
            if jobs:
                order = tfds_internals.in_order(split, jobs)
                self._jobs[split] = [jobs[frame_id] for frame_id in order]
            elif split == frame_files.REAL:
                logging.warning(
                    "No labelled photo in %s, where photos are looked for: split %s is "
                    "left out.",
                    kaggle_layout.PHOTOS,
                    split,
                )
            else:
                logging.warning("Split %s has no frames and is left out.", split)

    def _make(self, job: Job) -> tuple[Outcome, bytes]:
        """Returns what becomes of a frame, and its example as bytes if it has one."""
        outcome = make_example(self._source, job, self.ground_threshold)
        if outcome.example is None:
            return outcome, b""
        data = self.info.features.serialize_example(outcome.example)
        return dataclasses.replace(outcome, example=None), data

    def _generate_examples(
        self, made: Iterator[tuple[Outcome, bytes]]
    ) -> Iterator[tuple[str, bytes]]:
        """Yields (frame id, bytes) of what `_make` returned, and adds up the rest."""
        for outcome, data in made:
            self._statistics.add(outcome.statistics)
            if outcome.problem:  # The others go on, so that all problems are listed.
                self._bad[outcome.frame_id] = outcome.problem
            else:
                yield outcome.frame_id, data

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        """Returns the Beam transform of each split that has any examples."""
        from lunar_tfds.lunar_rocks import beam_pipeline  # Beam is needed only here.

        transforms = {}
        for split, jobs in self._jobs.items():
            path = self.data_path / f"notes-{split}.json"
            self._notes.append(path)
            transforms[split] = beam_pipeline.ReadFrames(
                self._source, jobs, self.ground_threshold, path
            )
        return transforms

    def finish(self) -> None:
        """Checks the labels as a set, and writes down how the dataset came about."""
        self._collect_notes()
        unfinished_builds.unmark(self.data_dir)
        if self._bad and self._leave_out:
            logging.warning(problems.message(self._bad, self._source.description))
        self._left_out |= self._bad
        judged = verdict(
            self._source, self._statistics, self._left_out, leave_out=self._leave_out
        )
        for line in judge.broken_rules(self._statistics):
            logging.warning(line)
        if judged.note:
            logging.warning(judged.note)
        if judged.stops:
            raise ValueError(judged.stops)
        self.info.metadata.update(
            source=self._source.description,
            source_fingerprint=sources.fingerprint(self._source),
            masks=[kaggle_layout.mask_name(kind) for kind in self._source.masks],
            max_examples_per_split=self._max_examples,
            class_pixel_counts=self._statistics.pixel_counts,
            ground_threshold=self.ground_threshold,
            ground_threshold_reason=THRESHOLD_REASON,
            defect_lists_present=self._defect_lists,
            left_out_frames=self._left_out,
            label_rules=judge.summary(self._statistics),
            labels_undecided=judged.undecided,
        )

    def _collect_notes(self) -> None:
        for path in self._notes:
            from lunar_tfds.lunar_rocks import beam_pipeline

            notes = beam_pipeline.read_notes(path)
            self._statistics.add(notes.statistics)
            self._bad |= notes.problems


def _named_source(config: tfds.download.DownloadConfig) -> sources.Source | None:
    """Returns the source that the user named as manual folder, or None if none was."""
    if not config.manual_dir:
        return None
    path = tfds.core.Path(config.manual_dir).expanduser()
    try:
        return sources.open_source(path)
    except ValueError as error:
        raise ValueError(f"--manual_dir: {error}") from error


def _unnamed_source(downloads: tfds.core.Path) -> sources.Source:
    """Returns the source in TFDS's own manual folder, else what Kaggle gives."""
    folder = downloads / _MANUAL
    # TFDS's test case of datasets puts its folder of examples here.
    manager = tfds.download.DownloadManager(
        download_dir=downloads,
        manual_dir=folder,
        manual_dir_instructions=sources.STEPS,
    )
    with contextlib.suppress(AssertionError):  # It does not exist, or is empty.
        folder = manager.manual_dir
    source = sources.find_source(folder) or sources.download()
    if source is None:
        raise ValueError(f"No dataset in {folder}.\n{sources.STEPS}")
    return source
