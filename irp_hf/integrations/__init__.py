"""Neighbours in the ecosystem, one file each; each needs its library, which an extra installs."""
