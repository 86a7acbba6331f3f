"""Training, evaluation and prediction of models under each `tf.distribute` strategy."""
