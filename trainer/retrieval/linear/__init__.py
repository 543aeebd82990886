"""Linear models that predict an item from the other items, and a linear filter on the user–item graph."""
