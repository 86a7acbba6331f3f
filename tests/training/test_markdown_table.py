from lmn_tf.training.markdown_table import markdown_table


def test_columns_stand_below_each_other():
    assert markdown_table(["a", "long title"], [["long cell", "b"]]) == [
        "| a         | long title |",
        "| --------- | ---------- |",
        "| long cell | b          |",
    ]


def test_bars_do_not_end_a_cell():
    assert markdown_table(["a"], [["x|y"]])[2] == "| x\\|y |"
