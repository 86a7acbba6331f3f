"""Finds the feature spec of a data set, holds it against the written files, learns vocabularies."""

import pathlib

import pyarrow.ipc
import pyarrow.parquet

from lmn_tf.data.preparers.writer import EVENTS_FILE
from lmn_tf.specs.errors import UserError, did_you_mean


def shipped_spec(name):
    """Path of `feature_specs/NAME.yaml` in the current folder or beside the package, or None."""
    for root in (pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parents[3]):
        path = root / "feature_specs" / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def learn_vocabularies(folder, spec_path, dataset):
    """Learns the vocabularies and statistics of a feature spec from the written train rows.

    Args:
        folder: path of the prepared files.
        spec_path: path of the feature spec the user named, or None for the shipped one.
        dataset: string, name of the shipped spec.

    Returns:
        A sentence for the report.

    Raises:
        UserError: if a spec the user named asks for a column that was not written.
    """
    path = spec_path or shipped_spec(dataset)
    if path is None:
        return f"not learned, as there is no feature_specs/{dataset}.yaml; their first use does it."
    from lmn_tf.specs.feature_spec import FeatureSpec

    spec = FeatureSpec.load(path)
    problem = missing_column(spec, folder)
    if problem is not None:
        if spec_path is not None:
            raise UserError(problem, file=path)
        return f"not learned: the shipped {pathlib.Path(path).name} does not fit. {problem}"
    from lmn_tf.data import vocabulary

    vocabulary.learn(spec, sorted(str(file) for file in folder.glob("train-*.parquet")))
    spec.assets.save(folder)
    return f"learned from the training rows for {pathlib.Path(path).name}."


def missing_column(spec, folder):
    """A sentence about the first column that the spec reads and the files lack, or None."""
    rows = pyarrow.parquet.read_schema(next(folder.glob("train-*.parquet"))).names
    asked = [(column, rows, "the rows") for column in spec.columns()]
    for sequence in spec.sequences:
        if sequence.events is None:
            continue
        if sequence.events.file != EVENTS_FILE or not (folder / EVENTS_FILE).is_file():
            return f"`{sequence.name}` reads {sequence.events.file}, which was not written."
        with pyarrow.memory_map(str(folder / EVENTS_FILE)) as source:
            names = pyarrow.ipc.open_file(source).schema.names
        fields = [field.data_column for field in sequence.fields]
        asked += [(column, names, EVENTS_FILE) for column in (sequence.events.user, *fields)]
    for column, names, where in asked:
        if column not in names:
            return f"column `{column}` must be in {where}.{did_you_mean(column, names)}"
    return None
