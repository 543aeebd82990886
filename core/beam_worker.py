"""What a process that runs steps of Beam needs first: Keras 2, and the ops of the ranking models that TFMA loads."""

import core.tf

core.tf.register_ops()
