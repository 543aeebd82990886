"""The HTTP server over a release and a store."""
