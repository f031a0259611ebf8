"""Data construction: what models and judges make of problems, for others to learn from."""
