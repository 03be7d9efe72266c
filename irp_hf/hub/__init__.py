"""The Hub: its ids, what is fetched from it and pushed to it, and its errors as ours.

The four files are for the rest of the package, which names them itself; users meet them as `from_pretrained` and `push_to_hub`.
"""
