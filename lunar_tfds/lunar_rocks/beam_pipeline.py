"""The same examples from an Apache Beam pipeline, for Dataflow, Flink or Spark.

Only a build with Beam options imports this module.
"""

import dataclasses
import json

import apache_beam as beam
from etils import epath

from lunar_tfds.lunar_rocks import examples, frame_reader, label_rules


@dataclasses.dataclass
class Notes:
    """What workers found out, besides examples.

    Attributes:
        statistics: label_rules.Statistics.
        problems: dict of frame id to the reason why it gives no example.
    """

    statistics: label_rules.Statistics = dataclasses.field(
        default_factory=label_rules.Statistics
    )
    problems: dict = dataclasses.field(default_factory=dict)

    def add(self, other):
        """Adds what another worker found out."""
        self.statistics.add(other.statistics)
        self.problems.update(other.problems)


class ReadFrames(beam.PTransform):
    """Makes the examples of one split and leaves Notes in a file.

    Args:
        source: where the files are; workers must reach it too.
        jobs: list of (layout.Frame, boxes, defects).
        rock_threshold: intensity from which a rock counts in a `ground` file.
        notes_path: the JSON file to write.
    """

    def __init__(self, source, jobs, rock_threshold, notes_path):
        super().__init__()
        self._source = source
        self._jobs = jobs
        self._rock_threshold = rock_threshold
        self._notes_path = str(notes_path)

    def expand(self, pipeline):
        """Returns the PCollection of (frame id, example)."""
        found = (
            pipeline
            | "Frames" >> beam.Create(self._jobs)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.Map(_read, self._source, self._rock_threshold)
        )
        _ = (
            found
            | "Notes" >> beam.Map(_note)
            | "AddNotes" >> beam.CombineGlobally(_add)
            | "WriteNotes" >> beam.Map(_write, self._notes_path)
        )
        return found | "Examples" >> beam.FlatMap(_examples)


def _read(job, source, rock_threshold):
    frame, boxes, _ = job
    return frame_reader.read_frame(source, frame, boxes, rock_threshold), job


def _note(found):
    result, _ = found
    if result.problem:
        return Notes(problems={result.frame.frame_id: result.problem})
    return Notes(result.statistics)


def _add(many):
    total = Notes()
    for notes in many:
        total.add(notes)
    return total


def _write(notes, path):
    epath.Path(path).write_text(json.dumps(dataclasses.asdict(notes)))


def _examples(found):
    result, (frame, boxes, defects) = found
    if not result.problem:
        yield frame.frame_id, examples.example(result, boxes, defects)


def read_notes(path):
    """Returns the Notes in a file and removes it."""
    content = json.loads(epath.Path(path).read_text())
    epath.Path(path).unlink()
    statistics = label_rules.Statistics(**content["statistics"])
    return Notes(statistics, content["problems"])
