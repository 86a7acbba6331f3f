"""What is damaged: data files, event files, requests, checkpoints and run folders."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from faults.damage import damage_bytes, damage_request, damage_table, damage_text
from small_shop import (
    shop_dict,
    shop_rows,
    shop_spec,
    write_csv,
    write_events,
    write_parquet,
    write_tfrecord,
)

from lmn_tf.specs.feature_spec import FeatureSpec

_ROWS = 60


def digest(arrays):
    """Returns a hash of nested dictionaries, lists and arrays."""
    found = hashlib.blake2b(digest_size=16)
    stack = [arrays]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend([list(value.items())])
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif value is not None:
            array = np.asarray(value)
            found.update(f"{array.dtype} {array.shape}".encode())
            found.update(array.tobytes() if array.dtype != object else repr(value).encode())
    return found.hexdigest()


def read_all(spec, files):
    """Returns the digest of every batch of data files, after learning from them."""
    from lmn_tf.data.learning.vocabulary import learn
    from lmn_tf.data.reading.batch_reader import BatchReader

    learn(spec, files, reuse=False)
    return digest([list(batch) for batch in BatchReader(spec, files, batch_size=32).read()])


class DataFiles:
    """Data files of the small shop, of which one is damaged; a subclass a format."""

    share = 1  # one case for so many of the lightest targets
    by_reference = False
    nested = False

    def __init__(self, folder):
        self.folder = folder
        rows, self.events = shop_rows(count=_ROWS)
        self.glob = self.write(rows)
        self.file = sorted(Path(path) for path in folder.glob(f"*{self.ending}"))[0]
        self.raw = self.file.read_bytes()
        self.whole = self.read()

    def read(self):
        spec = shop_spec(by_reference=self.by_reference, nested=self.nested)
        return read_all(spec, self.glob)

    def attempt(self, rng):
        self.file.write_bytes(self.damaged(rng))
        return self.read()

    def damaged(self, rng):
        return damage_bytes(self.raw, rng)


class Parquet(DataFiles):
    ending = ".parquet"
    nested = True

    def write(self, rows):
        return write_parquet(self.folder, rows, files=2, group=20)


class Csv(DataFiles):
    ending = ".csv"

    def write(self, rows):
        return write_csv(self.folder, rows)

    def damaged(self, rng):
        if rng.random() < 0.3:
            return damage_bytes(self.raw, rng)
        return damage_text(self.raw.decode(), rng).encode()


class Tsv(Csv):
    ending = ".tsv"

    def write(self, rows):
        write_csv(self.folder, rows)
        for path in list(self.folder.glob("*.csv")):
            path.with_suffix(".tsv").write_text(path.read_text().replace(",", "\t"))
            path.unlink()
        return str(self.folder / "*.tsv")


class TFRecord(DataFiles):
    ending = ".tfrecord"
    share = 4

    def write(self, rows):
        return write_tfrecord(self.folder, rows)


class EventFile(DataFiles):
    """The event file beside good rows."""

    ending = ".arrow"
    by_reference = True
    nested = True

    def write(self, rows):
        files = write_parquet(self.folder, rows, files=1)
        write_events(self.folder, self.events)
        return files


class Values(DataFiles):
    """Whole Parquet files whose columns are not what the spec says."""

    ending = ".parquet"
    nested = True

    def write(self, rows):
        return write_parquet(self.folder, rows, files=2, group=20)

    def attempt(self, rng):
        table = pq.read_table(pa.BufferReader(self.raw))
        while True:
            try:
                pq.write_table(damage_table(table, rng), self.file)
            except (pa.ArrowException, ValueError):  # no type of Parquet
                continue
            return self.read()


class EventValues(Values):
    """A whole event file whose columns are not what the spec says."""

    ending = ".arrow"
    by_reference = True
    write = EventFile.write

    def attempt(self, rng):
        table = damage_table(pa.ipc.open_file(pa.BufferReader(self.raw)).read_all(), rng)
        with pa.OSFile(str(self.file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=17)
        return self.read()


class TFRecordValues(TFRecord):
    """Whole records whose features are not what the spec says."""

    def attempt(self, rng):
        import tensorflow as tf

        records = [record.numpy() for record in tf.data.TFRecordDataset(str(self.source))]
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(records))
            example = tf.train.Example.FromString(records[at])
            name = rng.choice(sorted(example.features.feature))
            example.features.feature[name].CopyFrom(_odd_feature(tf, rng))
            records[at] = example.SerializeToString()
        with tf.io.TFRecordWriter(str(self.file)) as writer:
            for record in records:
                writer.write(record)
        return self.read()

    def write(self, rows):
        files = super().write(rows)
        self.source = self.folder / "source"
        shutil.copyfile(self.folder / "train-0.tfrecord", self.source)
        return files


def _odd_feature(tf, rng):
    feature, many = tf.train.Feature(), rng.choice([0, 1, 1, 2, 300])
    kind = rng.randrange(4)
    if kind == 0:
        feature.int64_list.value.extend(
            rng.choice([0, 7, -1, 2**62, -(2**63)]) for _ in range(many)
        )
    elif kind == 1:
        values = (0.5, 1e38, float("nan"), float("inf"), 7.0, -1e-40)
        feature.float_list.value.extend(rng.choice(values) for _ in range(many))
    elif kind == 2:
        values = (b"", b"7", b"007", b"\xff\xfe", b"x" * 5000, "é".encode(), b"\x00")
        feature.bytes_list.value.extend(rng.choice(values) for _ in range(many))
    return feature


class Vocabulary(DataFiles):
    """The vocabulary file that a spec names."""

    ending = ".txt"

    def write(self, rows):
        (self.folder / "agents.txt").write_text("web\napp\nmail\n")
        return write_parquet(self.folder, rows, files=1)

    def read(self):
        document = shop_dict(nested=False)
        agent = next(one for one in document["features"] if one["name"] == "agent")
        agent["lookup"] = {"vocabulary": "agents.txt"}
        return read_all(FeatureSpec.from_dict(document, base_dir=str(self.folder)), self.glob)

    def damaged(self, rng):
        return Csv.damaged(self, rng)


class Requests:
    """Rows for an export, as a service would get them."""

    share = 4

    def __init__(self, folder):
        import tiny_run

        from lmn_tf.serving.scorer import Scorer

        self.scorer = Scorer(tiny_run.exported())
        files = sorted(tiny_run.market().glob("test-*.parquet"))
        self.rows = pq.read_table(files[0]).slice(0, 4).to_pylist()
        self.whole = digest(self.scorer.score(self.rows))

    def attempt(self, rng):
        return digest(self.scorer.score(damage_request(self.rows, rng)))


class CheckpointFiles:
    """The newest of two checkpoints: the other one must be found."""

    share = 1

    def __init__(self, folder):
        from lmn_tf.training.saving.checkpoints import Checkpoints

        self.checkpoints = Checkpoints(folder)
        for step in (1, 2):
            values = {"a": np.full((50, 4), step, np.float32), "b": np.arange(step + 3)}
            values["big"] = np.full((2**18, 8), step, np.float32)
            self.checkpoints.save(step, values, {"step": step})
        self.files = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "0000000002" in str(path.relative_to(folder)):
                self.files[path] = path.read_bytes()
        self.whole = self.read()

    def read(self):
        values, state = self.checkpoints.latest(tidy=False)
        step = state["step"]
        if step not in (1, 2) or any(np.unique(values[k])[0] != step for k in ("a", "big")):
            return "altered"
        return "whole"

    def attempt(self, rng):
        for path, raw in self.files.items():
            path.write_bytes(raw)
        path = rng.choice(list(self.files))
        path.write_bytes(damage_bytes(self.files[path], rng))
        return self.read()


class RunFolder:
    """A finished run, of which one file is damaged, opened as commands open it."""

    share = 20

    def __init__(self, folder):
        import tiny_run

        self.folder = folder / "run"
        shutil.copytree(tiny_run.trained_run(), self.folder)
        # Checkpoints, of many files, have a target of their own, and no command here reads them.
        left_out = [self.folder / "tensorboard", *self.folder.glob("checkpoints/*-*")]
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        paths = sorted(path for path in paths if not {*path.parents} & {*left_out})
        self.files = {path: path.read_bytes() for path in paths}
        self.data = f"{tiny_run.market()}/test-*.parquet"
        self.damaged = None
        self.whole = self.read()

    def read(self):
        import lmn_tf
        from lmn_tf.training.saving.run_directory import RunDirectory

        run = RunDirectory.open(self.folder)
        spec, model = run.load_spec(), run.load_model()
        run.load_pipeline()
        features = next(iter(lmn_tf.make_dataset(spec, self.data, batch_size=8)))[0]
        return digest(model.predict_on_batch(features))

    def attempt(self, rng):
        if self.damaged is not None:
            self.damaged.write_bytes(self.files[self.damaged])
        self.damaged = rng.choice(list(self.files))
        self.damaged.write_bytes(damage_bytes(self.files[self.damaged], rng))
        return self.read()


TARGETS = {
    "parquet": Parquet,
    "csv": Csv,
    "tsv": Tsv,
    "tfrecord": TFRecord,
    "events": EventFile,
    "values": Values,
    "event values": EventValues,
    "tfrecord values": TFRecordValues,
    "vocabulary": Vocabulary,
    "requests": Requests,
    "checkpoints": CheckpointFiles,
    "run folder": RunFolder,
}
