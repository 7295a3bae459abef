"""Why a picture came out as it did: where a network looked, what it added, and whether that agrees with the input."""
