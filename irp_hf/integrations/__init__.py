"""Neighbours in the ecosystem, one file each.

Nothing is handed on here: each file is for a library that an extra installs, and is imported by its own name.
"""
