"""TLS with certificates on both sides, after the BCP 195 profiles of DICOM (PS3.15 B.9 to B.12, RFC 9325)."""

from __future__ import annotations

import ssl

from ...beside import reason
from ...errors import UsageError
from .scp_settings import TlsSettings

CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "DHE-RSA-AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
    )
)
"""Of TLS 1.2: those with forward secrecy and authenticated encryption that RFC 9325 4.2 recommends or allows. TLS 1.3
has no others."""


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what wraps connections of peers, who must show a certificate of one of the authorities.

    Raises
    ------
    UsageError
        A file cannot be read, or is not what it should be.
    """
    return _context(settings, ssl.PROTOCOL_TLS_SERVER)


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what wraps connections to a peer, whose certificate must be of one of the authorities and name its host.

    Raises
    ------
    UsageError
        A file cannot be read, or is not what it should be.
    """
    return _context(settings, ssl.PROTOCOL_TLS_CLIENT)


def _context(settings: TlsSettings, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.verify_mode = ssl.CERT_REQUIRED
    for path in (settings.certificate, settings.key, settings.authorities):
        try:
            path.open("rb").close()
        except OSError as e:
            raise UsageError(f"cannot be read ({reason(e)}); wanted a PEM file", path) from None
    try:
        # Without an answer OpenSSL would ask for the password of a key on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (ssl.SSLError, ValueError):
        raise UsageError(
            f"and {settings.key} are no certificate and its private key without password, as PEM", settings.certificate
        ) from None
    try:
        context.load_verify_locations(cafile=settings.authorities)
    except ssl.SSLError:
        raise UsageError("holds no certificates of authorities, as PEM", settings.authorities) from None
    return context
