import tensorflow as tf

from lmn_tf.ops import is_compiling_with_xla


def test_knows_every_mode():
    seen = {}

    def record(name):
        seen[name] = is_compiling_with_xla()
        return tf.constant(0)

    record("eager")
    tf.function(record)("graph")
    tf.function(record, jit_compile=True)("xla")
    inner = tf.function(record)
    inner("inner")
    tf.function(lambda: inner("nested"), jit_compile=True)()
    assert seen == {
        "eager": False,
        "graph": False,
        "xla": True,
        "inner": False,
        "nested": True,
    }
