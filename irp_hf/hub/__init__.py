"""The Hub: ids, commits, what is fetched and what is pushed, and its refusals in words."""
