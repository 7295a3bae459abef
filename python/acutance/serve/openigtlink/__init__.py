"""A filter for OpenIGTLink: pictures of surgical navigation come in and go out enhanced, all else goes through."""
