"""Unpaired rows of both sides: matched with each other, and fitted on beside few pairs or in place of them."""
