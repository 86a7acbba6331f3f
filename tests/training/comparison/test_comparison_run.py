from lmn_tf.training.comparison.comparison_run import ComparisonRun


def test_names():
    plain, trial = ComparisonRun("a b", None, 2), ComparisonRun("a b", 3, 2)
    assert (str(plain), plain.folder) == ("a b, seed 2", "a_b-seed2")
    assert (str(trial), trial.folder) == ("a b, trial 3, seed 2", "a_b-trial3-seed2")
