"""Saves of what no fit gives: a stranger's, since ours refuse it."""


def save_forged(model, folder):
    """Save a model whose tensors or configuration were changed, with the checksum that belongs to them."""
    model.what_is_wrong = lambda: None
    model.save_pretrained(folder)
