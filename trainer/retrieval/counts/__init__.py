"""Models that count events: of each item, and of each user with each item."""
