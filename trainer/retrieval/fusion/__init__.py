"""A retriever of several retrievers."""
