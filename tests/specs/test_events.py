from spec_edits import FEATURES, check_refused

from lmn_tf.specs.feature_spec import FeatureSpec


def test_names_a_file_and_two_columns():
    events = FeatureSpec.load(FEATURES).sequence("clicks").events
    assert (events.file, events.user, events.count) == ("events.arrow", "user_id", "num_events")


def test_needs_all(tmp_path):
    check_refused(
        FEATURES,
        ", count: num_events",
        "",
        "`count` must be given in `sequences[0].events` (`clicks`).",
        tmp_path,
    )
