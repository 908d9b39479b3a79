"""Hypothesis strategies for Eke's nouns, all in one place."""
