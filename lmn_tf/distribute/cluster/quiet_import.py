"""TensorFlow, loaded without its notes where a process can only be told which module to load."""

from lmn_tf.tensorflow_log import quiet_tensorflow

# A process that has looked for GPUs can not be forked to use them.
quiet_tensorflow(find_devices=False)
