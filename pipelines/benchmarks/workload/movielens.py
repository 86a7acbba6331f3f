"""MovieLens 1M with the same rows, ids and histories for `lmn_tf` and FuxiCTR."""

import json
from pathlib import Path

SPEC = Path(__file__).resolve().parents[3] / "feature_specs" / "movielens_1m.yaml"
GENRES = 6  # maximum per movie


def movielens_spec(length, dim):
    """The feature spec of MovieLens 1M with embeddings of width `dim` and histories of movies.

    Events have a single field, the movie; the spec in `feature_specs` adds whether it was liked.

    Args:
        length: Integer. Length of the longest history.
        dim: Integer. Width of every embedding.
    """
    from lmn_tf.specs.feature_spec import FeatureSpec

    spec = FeatureSpec.load(SPEC).to_dict()
    spec["embedding_dim"] = dim
    spec["tables"] = {"movie": {"dim": dim}, "genre": {"dim": dim, "combiner": "mean"}}
    [history] = spec["sequences"]
    history["max_length"] = length
    history["fields"] = [{"name": "movie_id", "like": "movie_id"}]
    return FeatureSpec.from_dict(spec)


def write_tiny_movielens(folder):
    """Prepares random data of 40 users and 30 movies in `folder`, which must not exist."""
    import numpy as np

    from lmn_tf.data.preparers import prepare

    random = np.random.default_rng(1)
    source = Path(folder).with_name("source")
    source.mkdir(parents=True)
    files = {
        "users.dat": [f"{u}::{'FM'[u % 2]}::{(18, 25, 35)[u % 3]}::{u % 21}::0" for u in range(40)],
        "movies.dat": [f"{m}::Movie (1990)::{('Action|War', 'Drama')[m % 2]}" for m in range(30)],
        "ratings.dat": [
            f"{user}::{movie}::{random.integers(1, 6)}::{978_300_000 + 100 * time}"
            for user in range(40)
            for time, movie in enumerate(random.permutation(30))
        ],
    }
    for name, lines in files.items():
        (source / name).write_text("\n".join(lines) + "\n")
    prepare("movielens-1m", source, folder)


def write_for_fuxictr(folder, output, length, dim, rows=None):
    """Writes prepared rows for the loader of FuxiCTR for long histories.

    Ids are those of the encoder. Histories are by reference in both: a row has its user and the
    number of the user's events before it.

    Args:
        folder: Path of the prepared data.
        output: Path of the folder to write to.
        length: Integer. Length of the longest history.
        dim: Integer. Width of every embedding.
        rows: Integer. Number of rows of training and test, from the first. Defaults to `None`: all.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    from lmn_tf.data.learning.vocabulary import learn
    from lmn_tf.data.reading.event_store import EventStore

    folder, output = Path(folder), Path(output)
    spec = movielens_spec(length, dim)
    learn(spec, str(folder / "train-*.parquet"), limit=rows)
    store = EventStore(spec, spec.sequences[0], str(folder))
    starts = np.append(store.file.starts, store.file.num_events).astype(np.int32)
    events = np.asarray(store.fields["movie_id"])[: starts[-1]].astype(np.int64)
    histories = pa.ListArray.from_arrays(pa.array(starts), pa.array(events))
    users = {"user_index": np.arange(len(starts) - 1), "full_item_seq": histories}
    parquet.write_table(pa.table(users), output / "users.parquet")
    sizes = {feature.name: spec.input_size(feature) for feature in spec.features}
    movies = np.arange(sizes["movie_id"])
    table = pa.table({"item_index": movies, "movie_id": movies})
    parquet.write_table(table, output / "items.parquet")
    for split in ("train", "test"):
        table = _rows(spec, str(folder / f"{split}-*.parquet"), store.file, rows)
        parquet.write_table(table, output / f"{split}.parquet")
    (output / "sizes.json").write_text(json.dumps(sizes))


def _rows(spec, files, events, limit):
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    from lmn_tf.data.encoding.source_location import SourceLocation
    from lmn_tf.data.formats import match_files
    from lmn_tf.data.reading.batch_reader import BatchReader

    reader = BatchReader(spec, files, batch_size=8192, limit=limit)
    parts = []
    for features, labels, _ in reader.read():
        part = {name: features[name] for name in ("user_id", "age", "gender", "occupation")}
        part["item_index"] = features["movie_id"]
        genres = features["genres"]
        part["genres"] = np.pad(genres, ((0, 0), (0, GENRES - genres.shape[1])))
        part["like"] = labels[:, 0]
        parts.append(part)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # The loader stacks all columns into one array, so they must have one type.
    columns = {name: values.astype(np.int64) for name, values in columns.items()}
    genres = pa.FixedSizeListArray.from_arrays(columns.pop("genres").ravel(), GENRES)
    names = ["user_id", "history_count"]
    raw = [parquet.read_table(file, columns=names) for file in match_files(files)]
    raw = pa.concat_tables(raw).slice(0, limit)
    first, _ = events.find(
        raw["user_id"].combine_chunks(), SourceLocation.of_rows(files, "user_id", 0)
    )
    return pa.table(
        {
            **columns,
            "user_index": np.searchsorted(events.starts, first),
            "seq_len": raw["history_count"].to_numpy().astype(np.int64),
            "genres": genres.cast(pa.list_(pa.int64())),
        }
    )
