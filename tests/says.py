"""What an error must say, whatever else it says."""


def says(text: str, *values: object) -> bool:
    """Whether all these values, names and words stand in the text of an error."""
    return all(str(value) in text for value in values)
