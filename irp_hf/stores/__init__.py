"""Stored vectors: files, data sets and vector databases, translated as a whole and never in place."""
