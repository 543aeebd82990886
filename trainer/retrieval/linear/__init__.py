"""Linear models that predict an item from other items, or from those before it, and a filter on the user–item graph."""
