"""Pure functions and small blocks under the model's modules."""
