"""The craft of cards: what others wrote stays as it is, and no value that others chose escapes its place."""
