"""The same examples from an Apache Beam pipeline, for Dataflow, Flink or Spark.

Only a build with Beam options imports this module.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from etils import epath

from lunar_tfds.lunar_rocks.frame_to_example import Job, Outcome, make_example
from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.sources import Source


@dataclasses.dataclass
class Notes:
    """What workers found out, besides examples.

    Attributes:
        statistics: of the labels.
        problems: dict of frame id to the reason why it gives no example.
    """

    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    problems: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, other: "Notes") -> None:
        """Adds what another worker found out."""
        self.statistics.add(other.statistics)
        self.problems.update(other.problems)


class ReadFrames(beam.PTransform):
    """Makes the examples of one split and leaves Notes in a file.

    Args:
        source: where the files are; workers must reach it too.
        jobs: the frames.
        rock_threshold: intensity from which a rock counts in a `ground` file.
        notes_path: the JSON file to write.
    """

    def __init__(
        self,
        source: Source,
        jobs: list[Job],
        rock_threshold: int,
        notes_path: str | os.PathLike,
    ):
        super().__init__()
        self._source = source
        self._jobs = jobs
        self._rock_threshold = rock_threshold
        self._notes_path = os.fspath(notes_path)

    def expand(self, pipeline: Any) -> beam.PCollection:
        """Returns the PCollection of (frame id, example)."""
        outcomes = (
            pipeline
            | "Frames" >> beam.Create(self._jobs)
            | "Spread" >> beam.Reshuffle()
            | "Make" >> beam.Map(_make, self._source, self._rock_threshold)
        )
        _ = (
            outcomes
            | "Notes" >> beam.Map(_note)
            | "AddNotes" >> beam.CombineGlobally(_add)
            | "WriteNotes" >> beam.Map(_write, self._notes_path)
        )
        return outcomes | "Examples" >> beam.FlatMap(_examples)


def _make(job: Job, source: Source, rock_threshold: int) -> Outcome:
    return make_example(source, job, rock_threshold)


def _note(outcome: Outcome) -> Notes:
    problem = {outcome.frame_id: outcome.problem} if outcome.problem else {}
    return Notes(outcome.statistics, problem)


def _add(many: Iterable[Notes]) -> Notes:
    total = Notes()
    for notes in many:
        total.add(notes)
    return total


def _write(notes: Notes, path: str) -> None:
    epath.Path(path).write_text(json.dumps(dataclasses.asdict(notes)))


def _examples(outcome: Outcome) -> Iterator[tuple[str, dict]]:
    if outcome.example is not None:
        yield outcome.frame_id, outcome.example


def read_notes(path: epath.Path) -> Notes:
    """Returns the Notes in a file and removes it."""
    content = json.loads(path.read_text())
    path.unlink()
    return Notes(Statistics(**content["statistics"]), content["problems"])
