"""The page: look at pictures beside what the networks make of them, in a browser (``acutance view``)."""
