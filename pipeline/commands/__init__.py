"""The commands of `twostep`, one module each; heavy imports are inside functions."""
