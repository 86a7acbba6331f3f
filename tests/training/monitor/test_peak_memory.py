import pytest

from lmn_tf.training.monitor.peak_memory import peak_rss_mib


def test_peak_memory_is_that_of_this_process(monkeypatch):
    found = peak_rss_mib()
    assert 50 < found < 100_000
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "VmPeak: 1 kB")
    assert peak_rss_mib() == pytest.approx(found, rel=0.5)
