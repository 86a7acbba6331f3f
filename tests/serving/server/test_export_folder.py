import asyncio
import logging
import os
import types

import pytest

from lmn_tf.serving.server.export_folder import ExportFolder, newest_export
from lmn_tf.serving.server.metrics import Metrics
from lmn_tf.specs.errors import UserError


def write(folder, text="whole"):
    """Writes what looks like an export."""
    path = folder / "saved_model" / "saved_model.pb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


def load(folder):
    """Stands for a loaded export: broken where its file says so."""
    text = (folder / "saved_model" / "saved_model.pb").read_text()
    if text == "broken":
        raise OSError("cannot be\nread")
    return types.SimpleNamespace(name=folder.name, text=text, info=dict.fromkeys(
        ("model_version", "run_id")))  # fmt: skip


def looked_twice(exports):
    exports.refresh()
    exports.refresh()
    return exports.current


@pytest.mark.parametrize("content", [[], ["a"], ["1.5"]])
def test_a_folder_without_an_export_is_refused(tmp_path, content):
    for name in content:
        write(tmp_path / name)
    (tmp_path / "7").mkdir()
    with pytest.raises(UserError, match="`EXPORT` must be a folder that `lmn-tf export` wrote, or"):
        ExportFolder(tmp_path, load, Metrics())


def test_the_highest_number_is_the_newest(tmp_path):
    for name in ("2", "10", "9", ".partial-123-11", "old"):
        write(tmp_path / name)
    (tmp_path / "12").mkdir()
    assert newest_export(tmp_path).name == "10"
    assert newest_export(write(tmp_path)) == tmp_path


def test_a_higher_version_is_loaded_once_its_files_stay(tmp_path):
    write(tmp_path / "1")
    exports = ExportFolder(tmp_path, load, Metrics())
    assert looked_twice(exports).name == "1"
    write(tmp_path / "2", "a part")
    exports.refresh()
    assert exports.current.name == "1"
    write(tmp_path / "2", "all of it")
    exports.refresh()
    assert exports.current.name == "1"
    exports.refresh()
    assert (exports.current.name, exports.current.text) == ("2", "all of it")
    current = exports.current
    assert looked_twice(exports) is current


def test_a_lower_version_is_back_when_the_higher_one_goes(tmp_path):
    for name in ("1", "2"):
        write(tmp_path / name)
    exports = ExportFolder(tmp_path, load, Metrics())
    os.rename(tmp_path / "2", tmp_path / "withdrawn")
    assert looked_twice(exports).name == "1"


def test_a_broken_version_is_refused_and_tried_again_when_it_changes(tmp_path, caplog):
    write(tmp_path / "1")
    metrics = Metrics()
    exports = ExportFolder(tmp_path, load, metrics)
    write(tmp_path / "2", "broken")
    with caplog.at_level(logging.ERROR, "lmn_tf.serving"):
        assert looked_twice(exports).name == "1"
        assert looked_twice(exports).name == "1"
    (record,) = caplog.records
    told = f"refused {tmp_path / '2'}, `1` goes on: OSError: cannot be read"
    assert record.getMessage() == told
    write(tmp_path / "2", "repaired")
    assert looked_twice(exports).text == "repaired"
    text = metrics.text().decode()
    assert 'lmn_tf_model_loads_total{result="refused"} 1.0' in text
    assert 'lmn_tf_model_loads_total{result="loaded"} 2.0' in text
    assert 'lmn_tf_model_info{export="2"' in text


def test_an_export_that_is_replaced_is_loaded_again(tmp_path):
    folder, link = tmp_path / "export", tmp_path / "link"
    write(folder, "old")
    link.symlink_to(folder)
    exports = ExportFolder(link, load, Metrics())
    os.rename(folder, tmp_path / "gone")
    assert looked_twice(exports).text == "old"  # until there is another one
    write(folder, "new")
    assert looked_twice(exports).text == "new"
    write(tmp_path / "third", "newer")
    link.unlink()
    link.symlink_to(tmp_path / "third")
    assert looked_twice(exports).text == "newer"


def test_watching_refreshes(tmp_path):
    write(tmp_path / "1")
    exports = ExportFolder(tmp_path, load, Metrics())
    write(tmp_path / "2")

    async def main():
        task = asyncio.create_task(exports.watch(0.001))
        while exports.current.name != "2":
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))
