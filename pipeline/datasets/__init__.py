NAMES: tuple[str, ...] = ("movielens-100k", "movielens-small", "complete-journey", "gowalla")
