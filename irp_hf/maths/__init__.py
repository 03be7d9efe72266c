"""The method, in pure torch: relative projection, its inverses, and how they are chosen from the anchors alone."""
