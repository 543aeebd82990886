"""The division of training steps among GPUs and machines."""
