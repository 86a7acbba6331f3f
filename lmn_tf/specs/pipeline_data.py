"""The data of a pipeline."""

from pydantic import model_validator

from lmn_tf.specs.days import MARK, Days
from lmn_tf.specs.delimiter import Delimiter
from lmn_tf.specs.section import Count, Options, PathText, Positive, Problem, section


@section
class PipelineData:
    """Which files a run reads, and how many rows at a time.

    Args:
        train: Glob of training files, relative to the current folder. With `days`, `{day}` in it
            stands for a day.
        days: `Days`: the run trains on one day after another, and evaluates each before that.
            Defaults to `None`.
        valid: Glob of validation files. Defaults to `None`.
        test: Glob of test files. Defaults to `None`.
        delimiter: String. What parts the cells of CSV files. Defaults to `None`: a tab in files
            whose name ends in `.tsv`, else a comma.
        batch_size: Integer. Rows of a training step. Defaults to `512`.
        eval_batch_size: Integer. Defaults to `4096`.
        shuffle_buffer: Integer. Rows that are shuffled together. Defaults to `100_000`.
        synthetic: Mapping of arguments of the generated market, which is written to `directory`
            when it is not there. Defaults to `None`.
        directory: Folder of the generated data. Defaults to `None`.
        train_rows: Integer. Only so many first rows are trained on, of each day where there are
            days. Defaults to `None`.
        eval_rows: Integer. Only so many first rows are evaluated. Defaults to `None`.
    """

    train: PathText
    days: Days | None = None
    valid: PathText | None = None
    test: PathText | None = None
    delimiter: Delimiter | None = None
    batch_size: Count = 512
    eval_batch_size: Count = 4096
    shuffle_buffer: Positive = 100_000
    synthetic: Options | None = None
    directory: PathText | None = None
    train_rows: Positive | None = None
    eval_rows: Positive | None = None

    @model_validator(mode="after")
    def _check(self):
        if self.synthetic is not None and self.directory is None:
            raise Problem(
                ("synthetic",), "`directory` must be given with `synthetic`. Received: nothing"
            )
        if self.days is None and MARK in self.train:
            raise Problem(
                ("train",), f"`days` must be given for `{MARK}` in `train`. Received: nothing"
            )
        if self.days is not None and MARK not in self.train:
            raise Problem(
                ("train",),
                f"`train` must name the day as `{MARK}`, with `days`. Received: train={self.train}",
            )
        if self.days is not None and self.valid is not None:
            raise Problem(
                ("valid",),
                "`valid` must not be given with `days`: each day is evaluated before it is trained "
                f"on. Received: valid={self.valid}",
            )
        return self
