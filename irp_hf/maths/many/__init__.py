"""Fits on any number of pairs: a sample decides what moves little, and sums over chunks of all pairs give the map."""
