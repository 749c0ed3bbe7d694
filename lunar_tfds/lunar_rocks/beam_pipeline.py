"""The same examples from an Apache Beam pipeline, for Dataflow, Flink or Spark.

Only a build with Beam options imports this module.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from etils import epath

from lunar_tfds.lunar_rocks.label_statistics import Statistics
from lunar_tfds.lunar_rocks.problems import Findings
from lunar_tfds.lunar_rocks.read_frame import Job, Result, read_frame
from lunar_tfds.lunar_rocks.sources import DatasetFiles


@beam.ptransform_fn
def read_frames(
    pipeline: Any,
    source: DatasetFiles,
    jobs: list[Job],
    rock_threshold: int,
    findings_path: str,
) -> beam.PCollection:
    """Make the examples of a split, and write the Findings to a JSON file.

    Args:
        pipeline: Beam's.
        source: where the files are; workers must reach it too.
        jobs: the frames.
        rock_threshold: intensity from which a rock counts in a `ground` file.
        findings_path: the file to write.

    Returns:
        PCollection of (frame id, example).
    """
    results = (
        pipeline
        | "Frames" >> beam.Create(jobs)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.Map(_read, source, rock_threshold)
    )
    _ = (
        results
        | "Findings" >> beam.Map(_findings)
        | "MergeFindings" >> beam.CombineGlobally(_merge)
        | "WriteFindings" >> beam.Map(_write, findings_path)
    )
    return results | "Examples" >> beam.FlatMap(_examples)


def _read(job: Job, source: DatasetFiles, rock_threshold: int) -> Result:
    return read_frame(source, job, rock_threshold)


def _findings(result: Result) -> Findings:
    findings = Findings()
    findings.add(result)
    return findings


def _merge(many: Iterable[Findings]) -> Findings:
    total = Findings()
    for findings in many:
        total.merge(findings)
    return total


def _write(findings: Findings, path: str) -> None:
    epath.Path(path).write_text(json.dumps(dataclasses.asdict(findings)))


def _examples(result: Result) -> Iterator[tuple[str, dict]]:
    if result.example is not None:
        yield result.frame_id, result.example


def take_findings(path: epath.Path) -> Findings:
    """Return the Findings in a file and remove it."""
    content = json.loads(path.read_text())
    path.unlink()
    return Findings(Statistics(**content["statistics"]), content["problems"])
