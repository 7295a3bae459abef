"""How good it is: the protocol of scores, the rivals, and the command ``acutance evaluate`` (extra ``evaluate``)."""
