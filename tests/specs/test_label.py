from spec_edits import FEATURES, check_refused

from lmn_tf.specs.label import Label


def test_column_is_the_name_by_default():
    assert Label(name="a").data_column == "a"
    assert Label(name="a", column="b").data_column == "b"


def test_name_is_checked(tmp_path):
    check_refused(FEATURES, "name: click}", "name: 3}", "`labels[0].name` must be text.", tmp_path)
