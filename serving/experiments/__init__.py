"""Experiments: arms that users are split into, and what their logged answers say of each arm."""
