"""A retriever that combines the rankings of several retrievers."""
