import pytest

from lmn_tf.serving.export_error import ExportError
from lmn_tf.specs.errors import UserError


def test_it_is_no_mistake_of_the_user():
    with pytest.raises(RuntimeError, match="stored twice") as caught:
        raise ExportError("stored twice")
    assert not isinstance(caught.value, UserError)
