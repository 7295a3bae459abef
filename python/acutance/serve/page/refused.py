"""What a browser is told when it does not get what it asked for."""

from __future__ import annotations


class Refused(Exception):
    """An answer that is an error.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        One line for the user; holds nothing of a patient.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
