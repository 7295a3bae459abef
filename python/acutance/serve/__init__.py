"""``acutance serve`` and ``acutance view``: services that other people's programs talk to, and the local page."""
