"""A token model as one would write it without any of this."""
