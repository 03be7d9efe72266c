"""The three inverses of a relative projection, each in two independent halves."""
