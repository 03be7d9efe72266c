"""The craft of cards: what others wrote stays as it is, and nothing that others chose escapes its place."""
