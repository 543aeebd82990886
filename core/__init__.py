"""Modules that all packages share, such as names, errors, settings and files. `core` imports none of these packages."""
