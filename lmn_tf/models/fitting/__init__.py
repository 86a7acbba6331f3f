"""How models train, evaluate and predict under each `tf.distribute` strategy."""
