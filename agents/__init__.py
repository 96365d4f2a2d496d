"""Policies that learn, and the learners that make them. Run from a checkout; not installed with the package."""
