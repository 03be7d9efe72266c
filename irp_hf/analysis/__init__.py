"""The paper's probes, on your own models and data: each gives numbers, a table, a picture and what follows."""
