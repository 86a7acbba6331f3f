from lmn_tf.serving.server.options import ServerOptions


def test_only_this_machine_is_served_unless_told():
    assert ServerOptions().host == "127.0.0.1"
    assert ServerOptions(max_body_kib=2).max_body_bytes == 2048
