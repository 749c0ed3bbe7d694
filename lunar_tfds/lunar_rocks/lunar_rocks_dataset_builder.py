"""The `lunar_rocks` dataset: renders of lunar scenes with semantic masks."""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.lunar_rocks import (
    features,
    frame_files,
    jobs,
    problems,
    reuse,
    sources,
)
from lunar_tfds.lunar_rocks.read_frame import Job, Result
from lunar_tfds.lunar_rocks.sources import DatasetFiles
from lunar_tfds.ownership import owned

THRESHOLD_REASON = (
    "In ground files rocks go darker with distance; a rock counts from this intensity "
    "of 255. The author suggests 50 to 200 and used 100."
)
_MANUAL = "manual"  # TFDS's name of its manual folder.
# TFDS builds in `incomplete.XXXXXX_VERSION` beside the final folder and renames it at
# the end. A killed build leaves it behind, 5 GB or more.
_INCOMPLETE = "incomplete."
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


class _Shards:
    """The number of shards that TFDS would take, but at most one for each example.

    TFDS itself ends in an error where a split has fewer examples than shards.
    """

    def __init__(self, config: Any):
        self._config = config
        self.num_shards = config.num_shards

    def get_number_shards(
        self, total_size: int, num_examples: int, uses_precise_sharding: bool = True
    ) -> int:
        """Return the number of shards of a split; arguments as TFDS passes them."""
        number = self._config.get_number_shards(
            total_size, num_examples, uses_precise_sharding
        )
        return min(number, num_examples)


class _DownloadConfig(tfds.download.DownloadConfig):
    """A configuration with `_Shards`."""

    def get_shard_config(self) -> Any:
        return _Shards(super().get_shard_config())


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

    def __init__(self, *, leave_out_bad_frames: bool | None = None, **kwargs: Any):
        if kwargs.get("data_dir"):  # No shell expands `tfds build --data_dir=~/data`.
            kwargs["data_dir"] = os.path.expanduser(kwargs["data_dir"])
        self._arguments = {"leave_out_bad_frames": leave_out_bad_frames, **kwargs}
        self._leave_out_bad_frames = leave_out_bad_frames
        # A new build may have other masks than the dataset in the folder.
        self._masks: tuple[str, ...] | None = None
        self._new_info: tfds.core.DatasetInfo | None = None
        super().__init__(**kwargs)

    def __reduce__(self):
        return functools.partial(type(self), **self._arguments), ()

    def _info(self) -> tfds.core.DatasetInfo:
        """Return the dataset's features, description and metadata.

        A built dataset keeps its masks.
        """
        masks = self._masks or features.built_masks(self.data_path)
        return self.dataset_info_from_configs(
            features=features.features(masks),
            supervised_keys=("image", kaggle_layout.mask_name(masks[0])),
            homepage=f"https://www.kaggle.com/datasets/{sources.HANDLE}",
            metadata=tfds.core.MetadataDict(),
        )

    @property
    def info(self) -> tfds.core.DatasetInfo:
        """Features, splits and metadata of the dataset."""
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
        """Build the dataset, or reuse it if it was made from the same source.

        Args:
            download_dir: where Kaggle downloads and the default manual folder are.
            download_config: tfds.download.DownloadConfig; `manual_dir` is the folder
                with the dataset, or its zip. Without a config, as in `tfds.load`, a
                built dataset is used, whatever its source.
            **kwargs: of tfds.core.DatasetBuilder.download_and_prepare.

        Raises:
            ValueError: the source is missing or damaged; the dataset was built from
                another source or with other settings; or another process builds it.
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
                folder = self.data_dir_root / self.name
                # Lock before a download, which a second build would waste.
                is_locked = stack.enter_context(owned(folder, "--data_dir"))
                _remove_leftovers(folder, is_locked=is_locked)
                self._source = named or _unnamed_source(downloads)
                logging.info(
                    "Building lunar_rocks from the %s.", self._source.description
                )
                self._take_masks(self._source.masks)
                self._warn_of_jpeg()
                self._max_examples = config.max_examples_per_split
                self._uses_beam = bool(config.beam_options or config.beam_runner)
                self._findings_paths: list[epath.Path] = []
                kept = 0 if self._max_examples == 0 else None
                # `_split_generators` counts examples; TFDS would not call `_finish`.
                download_config = _DownloadConfig(
                    **vars(config) | {"max_examples_per_split": kept}
                )
            elif download_config and config.download_mode == _AS_IT_IS:
                named = _named_source(config)
                if source := named or sources.find_source(downloads / _MANUAL):
                    self._check_reuse(source, config.max_examples_per_split)
            super().download_and_prepare(
                download_dir=download_dir, download_config=download_config, **kwargs
            )

    def _take_masks(self, masks: tuple[str, ...]) -> None:
        """Give the dataset to build the masks that its source has."""
        for kind in sorted(set(kaggle_layout.MASKS) - set(masks)):
            logging.warning(
                "No %s, so the dataset has no %s, only %s.",
                f"{kaggle_layout.IMAGES}/{kind}",
                kaggle_layout.mask_name(kind),
                ", ".join(map(kaggle_layout.mask_name, masks)),
            )
        if masks != features.masks_of(self.info.features):
            self._masks = masks
            new_info = self._info()
            new_info.set_file_format(self.info.file_format)
            self._new_info = new_info

    def _warn_of_jpeg(self) -> None:
        if count := sum(map(kaggle_layout.is_jpeg, self._source.sizes)):
            logging.warning(
                "%d pictures are JPEG files, which have lost the fine grain of the "
                "originals: train and score on the PNG files if you can get them.",
                count,
            )

    def _check_reuse(self, source: DatasetFiles, max_examples: int | None) -> None:
        """Raise ValueError if another dataset is asked for than the one there is."""
        wanted = reuse.Making(
            sources.fingerprint(source), max_examples, self.ground_threshold
        )
        reuse.check(self.data_dir, self.info.metadata, source, wanted, self._leave_out)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
        """Return the examples of each split that has any.

        Frames with a problem give no example. What the frames show is collected in
        `_findings`; `_finish` is called when all frames have been read.
        """
        listed = jobs.list_jobs(self._source, self._max_examples)
        self._defect_lists = listed.defect_lists
        self._findings = problems.Findings(problems=listed.problems)
        if self._uses_beam:
            return {
                split: self._read_with_beam(split, jobs_of_split)
                for split, jobs_of_split in listed.jobs.items()
                if jobs_of_split
            }
        generators: dict[str, Iterator[tuple[str, dict]]] = {}
        for split, jobs_of_split in listed.jobs.items():
            todo = iter(jobs_of_split)
            # TFDS refuses a split without examples, so look for the first one here.
            read_first = jobs.read_all(
                self._source, todo, self.ground_threshold, num_threads=1
            )
            first = next(self._generate_examples(read_first), None)
            if first is not None:
                results = jobs.read_all(self._source, todo, self.ground_threshold)
                examples = self._generate_examples(results)
                generators[split] = itertools.chain([first], examples)
            else:
                _warn_of_empty_split(split, any_frame=bool(jobs_of_split))
        if generators:
            last, examples = generators.popitem()
            generators[last] = self._then_finish(examples)
        else:
            self._finish()
        return generators

    def _generate_examples(
        self, results: Iterable[Result]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (frame id, example) of frames, and collect what they show."""
        for result in results:
            self._findings.add(result)
            if result.example is not None:
                yield result.frame_id, result.example

    def _then_finish(
        self, examples: Iterable[tuple[str, dict]]
    ) -> Iterator[tuple[str, dict]]:
        """Yield the last split's examples, then check what all frames show.

        TFDS publishes the dataset after this: an error here leaves nothing behind.
        """
        yield from examples
        self._finish()

    def _read_with_beam(self, split: str, jobs_of_split: list[Job]) -> Any:
        """Return the Beam transform that makes the examples of a split."""
        from lunar_tfds.lunar_rocks import beam_pipeline  # Beam is needed only here.

        path = self.data_path / f"findings-{split}.json"
        self._findings_paths.append(path)
        return beam_pipeline.read_frames(
            self._source, jobs_of_split, self.ground_threshold, os.fspath(path)
        )

    def _process_pipeline_result(self, pipeline_result: Any) -> None:
        """Collect what Beam's workers found out, when all of them are done."""
        from lunar_tfds.lunar_rocks import beam_pipeline

        for path in self._findings_paths:
            self._findings.merge(beam_pipeline.take_findings(path))
        self._finish()

    def _finish(self) -> None:
        """Check all frames together, and write down how the dataset was made.

        Raises:
            ValueError: it must not be built; see `problems.conclude`.
        """
        source, findings = self._source, self._findings
        conclusion = problems.conclude(source, findings, leave_out=self._leave_out)
        if conclusion.error:
            raise ValueError(conclusion.error)
        if findings.problems:
            logging.warning(problems.message(findings.problems, source.description))
        if conclusion.note:
            logging.warning(conclusion.note)
        self.info.metadata.update(
            source=source.description,
            source_fingerprint=sources.fingerprint(source),
            masks=[kaggle_layout.mask_name(kind) for kind in source.masks],
            max_examples_per_split=self._max_examples,
            class_pixel_counts=findings.statistics.pixel_counts,
            ground_threshold=self.ground_threshold,
            ground_threshold_reason=THRESHOLD_REASON,
            defect_lists_present=self._defect_lists,
            left_out_frames=findings.problems,
            labels_undecided=conclusion.undecided,
        )


def _warn_of_empty_split(split: str, *, any_frame: bool) -> None:
    if any_frame:
        logging.warning("No frame of the split %s can be used.", split)
    elif split == frame_files.REAL:
        logging.warning(
            "No labelled photo in %s, where photos are looked for: split %s is "
            "left out.",
            kaggle_layout.PHOTOS,
            split,
        )
    else:
        logging.warning("Split %s has no frames and is left out.", split)


def _remove_leftovers(folder: epath.Path, *, is_locked: bool) -> None:
    """Remove what killed builds of this dataset left, of any version and config.

    Args:
        folder: of the dataset in the data_dir.
        is_locked: whether no other build can be running in it; if unknown, stay away.
    """
    found = [*folder.glob(f"{_INCOMPLETE}*"), *folder.glob(f"*/{_INCOMPLETE}*")]
    for path in found:
        if not is_locked:
            logging.warning("%s: remove it unless a build is running there.", path)
            continue
        logging.warning("Removing %s, left by an interrupted build.", path)
        try:
            path.rmtree()
        except OSError as error:
            logging.warning("Could not remove %s: %s", path, error)


def _named_source(config: tfds.download.DownloadConfig) -> DatasetFiles | None:
    """Return the dataset in the manual folder that the user named, or None."""
    if not config.manual_dir:
        return None
    path = tfds.core.Path(config.manual_dir).expanduser()
    try:
        return sources.open_source(path)
    except ValueError as error:
        raise ValueError(f"--manual_dir: {error}") from error


def _unnamed_source(downloads: tfds.core.Path) -> DatasetFiles:
    """Return the dataset in TFDS's own manual folder, or download it."""
    folder = downloads / _MANUAL
    # Ask TFDS for the folder: its test case of datasets puts examples there.
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
