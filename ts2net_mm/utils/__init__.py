"""Shared helpers; they import nothing else of the package."""
