import types

from lmn_tf.serving.server.metrics import Metrics


def test_text_of_all_metrics():
    metrics = Metrics()
    metrics.watch_pending(lambda: 3)
    metrics.requests.labels(status=200).inc()
    metrics.seconds.observe(0.02)
    metrics.count_scored(3, {"scores": {}})
    metrics.count_scored(2, {"unknown_ids": {"item": 2, "user": 1}, "unread_columns": ["a", "b"]})
    for name in ("1", "2"):
        info = {"model_version": "ab", "run_id": None}
        metrics.show(types.SimpleNamespace(name=name, info=info))
    text = metrics.text().decode()
    assert 'lmn_tf_requests_total{status="200"} 1.0' in text
    assert "lmn_tf_pending_requests 3.0" in text
    assert "lmn_tf_scored_rows_total 5.0" in text
    assert 'lmn_tf_unknown_ids_total{column="item"} 2.0' in text
    assert 'lmn_tf_unknown_ids_total{column="user"} 1.0' in text
    assert "lmn_tf_unread_columns_total 2.0" in text
    assert 'lmn_tf_request_seconds_bucket{le="0.025"} 1.0' in text
    assert 'lmn_tf_model_info{export="2",model_version="ab",run_id=""} 1.0' in text
    assert 'export="1"' not in text and "process_resident_memory_bytes" in text
