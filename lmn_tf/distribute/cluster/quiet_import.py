"""Quiet import of TensorFlow, for fork servers, which can only preload modules."""

from lmn_tf.tensorflow_log import quiet_tensorflow

# A process that has listed GPUs cannot be forked into processes that use them.
quiet_tensorflow(find_devices=False)
