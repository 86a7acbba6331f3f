"""Weights of TensorFlow Recommenders' `Cross` for `keras_rs.layers.FeatureCross`."""

from typing import Any

from keras_rs.layers import FeatureCross


def copy_cross(cross: Any, feature_cross: FeatureCross) -> None:
    """Copies the weights of a `tfrs.layers.dcn.Cross` into a `keras_rs.layers.FeatureCross`.

    Both compute `x0 * (W x + b) + x`, with one kernel or with two, through `projection_dim`. Their
    outputs are equal afterwards. (`DotInteraction` of either package has no weights.)

    Args:
        cross: The layer of TensorFlow Recommenders, called once.
        feature_cross: The layer of keras-rs, called once on inputs of the same width.

    Raises:
        ValueError: If a layer was never called, their weights have other shapes, or they have
            another `diag_scale` or activation before the product.

    Example:

    >>> cross, feature_cross = FeatureCross(), FeatureCross()
    >>> x = np.ones((2, 4), "float32")
    >>> before = cross(x), feature_cross(x)
    >>> copy_cross(cross, feature_cross)
    >>> bool(np.all(feature_cross(x) == cross(x)))
    True
    """
    source = [tuple(weight.shape) for weight in cross.weights]
    target = [tuple(weight.shape) for weight in feature_cross.weights]
    if not source or source != target:
        raise ValueError(
            "`cross` and `feature_cross` must have been called, and have weights of the same "
            f"shapes. Received: {source} and {target}"
        )
    for name in ("diag_scale", "pre_activation"):
        want, found = _setting(cross, name), _setting(feature_cross, name)
        if want != found:
            raise ValueError(
                f"`{name}` of `feature_cross` must be that of `cross`, {want!r}. "
                f"Received: {name}={found!r}"
            )
    feature_cross.set_weights(cross.get_weights())


def _setting(layer, name):
    """Returns an argument of a layer in the form that does not depend on the version of Keras."""
    config = layer.get_config()
    if name == "diag_scale":
        return config[name] or 0.0
    activation = config[name] if name in config else config["preactivation"]  # as in Recommenders
    if not isinstance(activation, dict):
        return activation
    if activation["class_name"] == "function":
        return activation["config"]
    # Keras 2 and 3 write the policy of a layer differently.
    unlike = {"name", "dtype", "trainable"}
    rest = {key: value for key, value in activation["config"].items() if key not in unlike}
    return activation["class_name"], rest
