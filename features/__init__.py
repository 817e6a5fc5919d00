"""Point-in-time features for recommendation candidates, in Polars and numba."""
