"""What a model passes on of its options to the layers that it makes."""

from lmn_tf.models import registry


def check_passed(name, layer, options, **renamed):
    """Checks that a layer got what a model was told, none of it being the default.

    Args:
        name: A registered model's name.
        layer: The layer that a model of these options made.
        options: Dict of the model's options.
        **renamed: The layer's names of options that are called otherwise there.
    """
    config = layer.get_config()
    for key, value in options.items():
        held = config[renamed.get(key, key)]
        assert (tuple(held) if isinstance(held, list) else held) == value, key
        assert registry.options(name)[key].default != value, key
