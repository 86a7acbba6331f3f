import pytest
import tensorflow as tf

from lmn_tf.training.monitor.peak_memory import peak_memory


def test_peak_memory_is_that_of_this_process(monkeypatch):
    found = peak_memory()
    assert 50 < found["peak_rss_mib"] < 100_000
    if not tf.config.list_physical_devices("GPU"):
        assert found["peak_memory_mib"] == found["peak_rss_mib"]
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "VmPeak: 1 kB")
    assert peak_memory()["peak_rss_mib"] == pytest.approx(found["peak_rss_mib"], rel=0.5)
