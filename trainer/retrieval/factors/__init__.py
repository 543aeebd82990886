"""Matrix factorisation of events."""
