from lmn_tf.specs.bucketize import Bucketize
from lmn_tf.specs.resolved_field import ResolvedField


def test_key_tells_whose_ids_they_are():
    own = ResolvedField(sequence="s", name="a", column=None, like=None, kind="elapsed_time")
    assert (own.key, own.data_column, own.has_ids) == ("s.a", "a", True)
    liked = ResolvedField(sequence="s", name="a", column="c", like="b", kind="numeric")
    assert (liked.key, liked.data_column, liked.has_ids) == ("b", "c", False)


def test_answers_like_a_feature():
    step = Bucketize(bucketize=(1.0,))
    field = ResolvedField(
        sequence="s", name="a", column=None, like=None, kind="numeric", transform=(step,)
    )
    assert field.bucketize == step
    assert (field.role, field.of) == ("sequence", ())
