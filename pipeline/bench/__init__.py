"""Measurement of registered models under published protocols, for `twostep bench`."""
