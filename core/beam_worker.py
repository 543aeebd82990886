"""What a process that runs steps of Beam needs first: Keras 2, and the ops of ranking models, which TFMA loads there."""

import core.tf

core.tf.register_ops()
