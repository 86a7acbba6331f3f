import errno
import json
import shutil
import subprocess
import sys
import zipfile

import own_shop
import pytest
import yaml
from kitchen_sink import slim_spec
from own_modules import write_modules
from tiny_run import document, market, pipeline, trained_run, write_pipeline

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.saving import zip_files
from lmn_tf.training.saving.resolved_pipeline import resolved_pipeline
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.zip_files import check_unpacked_size


@pytest.fixture
def started(tmp_path):
    from lmn_tf.data.learning.vocabulary import learn

    spec = pipeline(tmp_path / "run").load_feature_spec()
    learn(spec, f"{market()}/train-*.parquet")
    directory = RunDirectory(tmp_path / "run")
    directory.write_opening(pipeline(tmp_path / "run"), spec)
    return directory, spec


def test_opening_is_enough_to_repeat_the_run(started, tmp_path, monkeypatch):
    directory, spec = started
    monkeypatch.chdir(tmp_path)
    again = directory.load_pipeline()
    assert again.model == pipeline("x").model
    assert again.feature_spec_path == directory.feature_spec_file
    loaded = directory.load_spec()
    assert loaded == spec and loaded.assets == spec.assets
    assert again.load_feature_spec() == spec


def test_what_tells_a_run_apart(started, tmp_path):
    directory, spec = started
    assert directory.data_fingerprint is None
    directory.check_data(pipeline(directory.path), spec)
    assert len(directory.data_fingerprint) == 16
    name, _, digest = directory.run_id.rpartition("-")
    assert name == "run" and len(digest) == 8
    assert RunDirectory(f"{directory.path}/../run").run_id == directory.run_id
    (tmp_path / "other").mkdir()
    other = RunDirectory(tmp_path / "other" / "run")
    other.write_opening(pipeline(other.path, epochs=3), spec)
    assert other.run_id.startswith("run-") and other.run_id != directory.run_id


def test_a_pipeline_on_a_base_is_written_out(started, tmp_path):
    directory, spec = started
    (tmp_path / "base.yaml").write_text(yaml.dump(document(tmp_path / "base")))
    given = {"pipeline_version": 1, "base": "base.yaml", "run_dir": str(directory.path)}
    on_base = PipelineSpec.from_dict(given, base_dir=tmp_path)
    directory.check_same(on_base, spec)
    directory.write_opening(on_base, spec)
    assert "base" not in yaml.safe_load(directory.pipeline_file.read_text())
    assert directory.load_pipeline().to_dict() == resolved_pipeline(on_base)


def test_a_run_has_no_file_outside_read_as_its_base(started, tmp_path):
    directory, _ = started
    (tmp_path / "secret.yaml").write_text("top: secret\n")
    with directory.pipeline_file.open("a") as file:
        file.write("base: ../secret.yaml\n")
    message = r"pipeline.yaml:\d+: `base` must not be given in the pipeline of a run"
    with pytest.raises(UserError, match=message) as caught:
        directory.load_pipeline()
    assert "top" not in str(caught.value)


def test_same_pipeline_may_go_on(started, tmp_path):
    directory, spec = started
    directory.check_same(pipeline(tmp_path / "moved", checkpoint_steps=99), spec)


def test_a_run_that_is_older_than_an_option_may_go_on_with_its_default(started, tmp_path):
    directory, spec = started
    kept = yaml.safe_load(directory.pipeline_file.read_text())
    assert kept["data"].pop("rows_per_group") == 1
    directory.pipeline_file.write_text(yaml.dump(kept))
    directory.check_same(pipeline(tmp_path / "run"), spec)
    changed = pipeline(tmp_path / "run").with_overrides(["data.rows_per_group=4"])
    with pytest.raises(
        UserError, match="`data.rows_per_group` must stay .* 1 in .*rows_per_group=4"
    ):
        directory.check_same(changed, spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.epochs=9"], r"`train.epochs` must stay .* 2 in .*epochs=9.* --run-dir"),
        (["model.top_k=3"], r"`model.top_k` must stay .* 4 in .*model.top_k=3"),
        (["model.pooling=sum"], r"`model.pooling` must stay .* None in .*pooling='sum'"),
        (["data.batch_size=8"], r"`data.batch_size` must stay .* 256 in .*batch_size=8"),
        (["data.train=elsewhere.parquet"], r"`data.train` must stay .*elsewhere.parquet"),
        (["train.seed=2"], r"`train.seed` must stay"),
    ],
)
def test_another_pipeline_may_not(started, tmp_path, settings, message):
    directory, spec = started
    changed = pipeline(tmp_path / "run").with_overrides(settings)
    with pytest.raises(UserError, match=message):
        directory.check_same(changed, spec)


def test_another_feature_spec_may_not(started, tmp_path):
    directory, spec = started
    data = spec.to_dict()
    data["sequences"][0]["max_length"] = 3
    with pytest.raises(UserError, match=r"`sequences.history.max_length` must stay .* 20 in"):
        directory.check_same(pipeline(tmp_path / "run"), type(spec).from_dict(data))


def test_a_folder_that_is_taken_is_refused(started, tmp_path):
    directory, _ = started
    with pytest.raises(UserError, match="holds a run. Continue it with --resume, .* --run-dir"):
        directory.check_free()
    directory.pipeline_file.unlink()
    with pytest.raises(UserError, match="is not empty"):
        directory.check_free()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="`run_dir` must be a folder"):
        RunDirectory(tmp_path / "file").check_free()
    (tmp_path / "empty").mkdir()
    RunDirectory(tmp_path / "empty").check_free()
    RunDirectory(tmp_path / "absent").check_free()


def test_an_opening_that_was_cut_short_is_told_from_other_files(started, tmp_path):
    directory, _ = started
    directory.pipeline_file.unlink()
    shutil.rmtree(directory.checkpoints, ignore_errors=True)
    directory.check_opening()
    (directory.path / "fingerprints.json").unlink()  # killed in the second attempt
    directory.check_opening()
    (directory.path / "statistics.json").unlink()
    with pytest.raises(UserError, match="without pipeline.yaml and with feature_spec.yaml. Name"):
        directory.check_opening()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="`run_dir` must be the folder of a run, or empty, to cont"):
        RunDirectory(tmp_path).check_opening()


@pytest.mark.parametrize("part", ["train", "valid"])
def test_other_data_are_refused(started, tmp_path, part):
    directory, spec = started
    folder = tmp_path / "data"
    shutil.copytree(market(), folder)
    data = {name: f"{folder}/{name}-*.parquet" for name in ("train", "valid", "test")}
    settings = [f"data.{name}={path}" for name, path in data.items()]
    given = pipeline(tmp_path / "run").with_overrides(settings)
    directory.write_opening(given, spec)
    directory.check_kept_data(given, spec)
    assert not directory.data_file.exists()
    directory.check_data(given, spec)
    directory.check_kept_data(given, spec)
    file = next(folder.glob(f"{part}-*"))
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    for check in (directory.check_data, directory.check_kept_data):
        with pytest.raises(UserError, match=f"data must be those of the run, .*{file.name} of .*"):
            check(given, spec)
    file.unlink()
    directory.check_kept_data(given, spec)
    with pytest.raises(UserError, match="data files must exist"):
        directory.check_data(given, spec)


def copied_data(tmp_path):
    """A pipeline of the run whose data are copies at another place, and the place."""
    folder = shutil.copytree(market(), tmp_path / "elsewhere")
    parts = [f"data.{name}={folder}/{name}-*.parquet" for name in ("train", "valid", "test")]
    return pipeline(tmp_path / "run").with_overrides(parts), folder


def test_data_that_were_noted_may_be_at_another_place(started, tmp_path):
    directory, spec = started
    given, (moved, folder) = pipeline(tmp_path / "run"), copied_data(tmp_path)
    with pytest.raises(UserError, match="`data.train` must stay as in the run"):
        directory.check_same(moved, spec)
    directory.check_data(given, spec)
    directory.check_same(moved, spec)
    directory.check_data(moved, spec)
    with pytest.raises(UserError, match="`data.valid` must stay as in the run"):
        directory.check_same(moved.with_overrides(["data.valid=null"]), spec)
    fingerprint = directory.data_fingerprint
    directory.write_metrics({"test": {}}, given, spec)
    assert directory.data_fingerprint == fingerprint and directory.read_metrics() == {"test": {}}
    directory.check_same(moved, spec)
    directory.check_kept_data(moved, spec)
    for file in folder.glob("test-*"):
        file.write_bytes(next(folder.glob("train-*")).read_bytes())
    with pytest.raises(UserError, match="The test data must be those of the run, noted in"):
        directory.check_kept_data(moved, spec)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="data files must exist"):
        directory.check_kept_data(moved, spec)


def test_test_data_stay_where_the_figures_of_others_would_be_told(started, tmp_path):
    directory, spec = started
    moved, _ = copied_data(tmp_path)
    directory.check_data(pipeline(tmp_path / "run"), spec)
    directory.metrics_file.write_text('{"valid": {}}')
    directory.check_same(moved, spec)
    directory.metrics_file.write_text('{"test": {}}')  # of a version that noted no test data
    with pytest.raises(UserError, match="`data.test` must stay as in the run"):
        directory.check_same(moved, spec)
    directory.metrics_file.write_text("{")  # will be written anew
    directory.check_same(moved, spec)


def test_another_vocabulary_file_is_refused(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("a\nb\n")
    word = {"name": "word", "role": "item", "kind": "categorical"}
    spec = FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "words",
            "labels": [{"name": "click"}],
            "features": [{**word, "lookup": {"vocabulary": "words.txt"}}],
        },
        base_dir=tmp_path,
    )
    directory, given = RunDirectory(tmp_path / "run"), pipeline(tmp_path / "run")
    directory.write_opening(given, spec)
    directory.check_same(given, spec)
    file.write_text("b\na\n")
    with pytest.raises(UserError, match=r"words.txt must stay as in .*vocabularies/word.txt. Rec"):
        directory.check_same(given, spec)
    file.unlink()
    directory.check_same(given, spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "not a folder"),
        (lambda p: p.mkdir(), "without pipeline.yaml"),
        (lambda p: (p.mkdir(), write_pipeline(p / "pipeline.yaml", p)), "without model.keras"),
    ],
)
def test_only_a_trained_run_is_opened(tmp_path, make, message):
    make(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        RunDirectory.open(tmp_path / "run")


def test_a_finished_run_holds_what_was_promised():
    folder = trained_run()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "pipeline.yaml",
        "feature_spec.yaml",
        "vocabularies",
        "statistics.json",
        "fingerprints.json",
        "metrics.json",
        "checkpoints",
        "model.keras",
        "tensorboard",
    }
    assert RunDirectory(folder).is_finished
    assert json.loads((folder / "metrics.json").read_text())["model"] == "lmn"
    assert yaml.safe_load((folder / "pipeline.yaml").read_text())["train"]["epochs"] == 2
    assert RunDirectory.open(folder).load_model().name.startswith("lmn")


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    first, second = RunDirectory(tmp_path / "a" / "run"), RunDirectory(tmp_path / "a" / "run")
    with first.held():
        with pytest.raises(UserError, match="must be trained by one process at a time"):
            with second.held():
                pass
    with second.held():
        pass
    assert not list(first.path.iterdir())


def test_a_mistake_met_later_leaves_what_there_is_to_go_on_from(tmp_path):
    directory = RunDirectory(tmp_path)
    for name, stays in (("data.json", False), ("step-0000000007", True)):
        with pytest.raises(UserError, match="row 17"):
            with directory.held():
                directory.checkpoints.mkdir()
                (directory.checkpoints / name).touch()
                directory.pipeline_file.touch()
                raise UserError("row 17")
        assert directory.is_started == directory.checkpoints.exists() == stays
    assert tmp_path.is_dir()


def test_the_lock_of_a_killed_process_ends_with_it(tmp_path):
    code = (
        "import os, signal; from lmn_tf.training.saving.run_directory import RunDirectory\n"
        f"with RunDirectory({str(tmp_path)!r}).held(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with RunDirectory(tmp_path).held():
        with pytest.raises(UserError, match="must be trained by one process at a time"):
            with RunDirectory(tmp_path).held():
                pass


def test_file_systems_without_locks_are_held_without(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", flock)
    directory = RunDirectory(tmp_path / "run")
    with directory.held(), RunDirectory(tmp_path / "run").held():
        (directory.path / "kept").touch()
    assert [path.name for path in directory.path.iterdir()] == ["kept"]


def test_a_full_disk_is_told_with_what_to_do(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with pytest.raises(UserError, match="must have room and stay writable. .* --resume"):
        with directory.held():
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="another reason"):
        with directory.held():
            raise OSError(errno.ENOENT, "another reason")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    model = directory.load_model()
    model.head.trainable_variables[0].assign(model.head.trainable_variables[0] * float("nan"))
    model.save(directory.model_file)
    with pytest.raises(
        UserError, match=r"model.keras must hold finite numbers only.*nan in `model/"
    ):
        directory.load_model()


def test_a_model_is_not_unpacked_before(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_files, "_ALWAYS", 0)
    check_unpacked_size(trained_run() / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", bytes(4_000_000))
    (tmp_path / "pipeline.yaml").write_bytes((trained_run() / "pipeline.yaml").read_bytes())
    with pytest.raises(UserError, match="model.keras: the file must unpack to at most"):
        RunDirectory(tmp_path).load_model()


def test_parts_of_users_are_written_as_paths(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    points = {
        "lmn_tf.models": {"wide": "users_models:Wide"},
        "lmn_tf.metrics": {"rows": "users_metrics:Rows"},
        "lmn_tf.optimizers": {"plain": "users_optimizers:Plain"},
    }
    own_shop.register(tmp_path, "mine", points)
    named = document("run", {"name": "wide"}, optimizer={"dense": {"plain": 0.1}})
    named["metrics"] = ["rows", {"rows": {"name": "again"}}]
    written = resolved_pipeline(PipelineSpec.from_dict(named))
    assert written["model"] == {"name": "users_models:Wide"}
    assert written["train"]["optimizer"]["dense"] == {"users_optimizers:Plain": 0.1}
    assert written["train"]["optimizer"]["tables"] == {"row_wise_adagrad": 0.05}
    path = "users_metrics:Rows"
    assert written["metrics"] == [path, {path: {"name": "again"}}]
    assert resolved_pipeline(PipelineSpec.from_dict(written))["model"] == written["model"]


def test_a_model_of_a_user_is_loaded_with_the_class_of_the_pipeline(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    directory = RunDirectory(tmp_path / "run")
    name, options = "users_models:Wide", {"hidden_units": [4], "width": 3}
    given = pipeline(directory.path, {"name": name, **options})
    (tmp_path / "run").mkdir()
    directory.pipeline_file.write_text(yaml.safe_dump(resolved_pipeline(given)))
    model = registry.build(name, slim_spec(), options)
    model.build()
    model.save(directory.model_file)
    with zipfile.ZipFile(directory.model_file) as file:  # the file itself names another class
        assert json.loads(file.read("config.json"))["module"] == "users_models"
    loaded = directory.load_model()
    assert type(loaded) is registry.model_class(name) and loaded.width == 3
    text = directory.pipeline_file.read_text().replace("users_models", "gone")
    directory.pipeline_file.write_text(text)
    with pytest.raises(UserError, match=r"pipeline.yaml:\d+: .*name='gone:Wide': No module named"):
        directory.load_model()
