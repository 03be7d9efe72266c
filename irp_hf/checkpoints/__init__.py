"""Other people's models: where they lie, what they may weigh, and single tensors of theirs."""
