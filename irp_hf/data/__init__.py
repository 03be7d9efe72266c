"""What users hand in: arrays, columns, items; read in pieces, and checked on the way."""
