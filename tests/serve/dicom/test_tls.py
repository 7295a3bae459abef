"""Who has no certificate of the right authority, or an old TLS, is not let in."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydicom.data import get_testdata_file

pytest.importorskip("pynetdicom")
pytest.importorskip("cryptography")
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acutance.errors import UsageError
from acutance.serve.dicom import part10, tls
from acutance.serve.dicom.cstore import CStoreLink
from acutance.serve.dicom.scp_settings import TlsSettings
from acutance.serve.dicom.send import NotSent
from acutance.serve.dicom.settings import CStore

Listen = Callable[..., Any]
EXPLICIT = "1.2.840.10008.1.2.1"


def issue(folder: Path, name: str, issuer: Any = None, days: int = 1) -> Any:
    """Write NAME.pem and NAME.key; an authority where there is no ``issuer``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    certificate, secret = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, clear))
    return SimpleNamespace(subject=subject, key=key, certificate=certificate, secret=secret)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pki")
    authority, other = issue(folder, "authority"), issue(folder, "other-authority")
    return SimpleNamespace(
        authority=authority,
        other=other,
        node=issue(folder, "node", authority),
        sender=issue(folder, "sender", authority),
        expired=issue(folder, "expired", authority, days=-1),
        stranger=issue(folder, "stranger", other),
    )


def settings(own: Any, authority: Any) -> dict[str, Path]:
    return {"certificate": own.certificate, "key": own.secret, "authorities": authority.certificate}


@pytest.fixture
def node(listen: Listen, pki: Any) -> Any:
    return listen(tls=settings(pki.node, pki.authority), begin_s=2)


def client(pki: Any, own: Any = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.authority.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.secret)
    return context


def connect(node: Any, context: ssl.SSLContext) -> Any:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", node.port), 5), server_hostname="localhost")


def associates(node: Any, peers: ModuleType, context: ssl.SSLContext) -> bool:
    """Tell whether an association comes about."""
    try:
        with connect(node, context) as sock:
            sock.sendall(peers.request())
            return bool(sock.recv(1) == b"\x02")
    except OSError:
        return False


def test_a_sender_with_a_certificate_is_served(node: Any, pki: Any, peers: ModuleType) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client(pki, pki.sender)
        context.minimum_version = context.maximum_version = version
        assert associates(node, peers, context)


def test_our_own_sender_is_served(node: Any, pki: Any, peers: ModuleType) -> None:
    own = tls.client_context(TlsSettings.model_validate(settings(pki.sender, pki.authority)))
    assert associates(node, peers, own)
    trusts_others = tls.client_context(TlsSettings.model_validate(settings(pki.sender, pki.other)))
    assert not associates(node, peers, trusts_others)


def test_instances_are_sent_on_over_tls_and_to_nobody_else(
    node: Any, pki: Any, peers: ModuleType, tmp_path: Path
) -> None:
    about = part10.Received(peers.CT, peers.INSTANCE, EXPLICIT)
    path = tmp_path / "a.dcm"
    path.write_bytes(part10.head(about) + peers.dataset())
    said = {"kind": "c-store", "name": "a", "ae_title": "ACUTANCE", "port": node.port, "timeout_s": 5}

    def send(authority: Any, address: str = "127.0.0.1") -> str:
        tls = settings(pki.sender, authority)
        link = CStoreLink(CStore.model_validate({**said, "address": address, "tls": tls}), "SENDER")
        try:
            return link.send(path, about)
        finally:
            link.close()

    assert send(pki.authority) == "0000"
    for authority, address in (
        (pki.other, "127.0.0.1"),
        (pki.authority, "127.1"),
    ):  # the same machine, by a name it has no proof of
        with pytest.raises(NotSent, match="cannot be reached"):
            send(authority, address)
    ((data, found),) = node.spool.kept
    assert data == peers.dataset() and found.calling_ae == "SENDER"


@pytest.mark.parametrize("own", [None, "stranger", "expired"])
def test_a_sender_without_the_right_certificate_is_not(node: Any, pki: Any, peers: ModuleType, own: str | None) -> None:
    assert not associates(node, peers, client(pki, own and getattr(pki, own)))
    assert associates(node, peers, client(pki, pki.sender))
    assert node.counts("connections_refused_total") == {"TLS": 1}


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_ciphers_without_forward_secrecy_or_off_the_list_are_not_taken(
    node: Any, pki: Any, peers: ModuleType, cipher: str
) -> None:
    context = client(pki, pki.sender)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    assert not associates(node, peers, context)


def test_old_tls_is_not_taken(node: Any, pki: Any, peers: ModuleType) -> None:
    context = client(pki, pki.sender)
    with pytest.warns(DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert not associates(node, peers, context)


def test_who_speaks_no_tls_or_nothing_keeps_nobody_waiting(node: Any, pki: Any, peers: ModuleType) -> None:
    with node.peer() as plain, node.peer() as silent:
        plain.send(peers.request())
        start = time.monotonic()
        assert associates(node, peers, client(pki, pki.sender))
        assert time.monotonic() - start < 1.5
        assert plain.read()[:1] != b"\x02"
        assert silent.read() == b""  # after begin_s


def test_dcmtk_over_tls(node: Any, pki: Any, dcmtk: Callable[..., Any]) -> None:
    where = ("-aec", "ACUTANCE", "localhost", node.port)
    path = get_testdata_file("CT_small.dcm", download=False)
    for profile in ("+py", "+px", "+pz"):
        words = ("+tls", pki.sender.secret, pki.sender.certificate, "+cf", pki.authority.certificate, profile)
        assert dcmtk("echoscu", *words, *where).returncode == 0
        assert dcmtk("storescu", *words, *where, path).returncode == 0
    assert len(node.spool.kept) == 3
    words = ("+tls", pki.stranger.secret, pki.stranger.certificate, "+cf", pki.authority.certificate)
    assert dcmtk("storescu", *words, *where, path).returncode != 0
    assert dcmtk("storescu", *where, path).returncode != 0
    assert len(node.spool.kept) == 3


def test_files_that_are_no_certificates_are_named(listen: Listen, pki: Any, tmp_path: Path) -> None:
    good, text = settings(pki.node, pki.authority), tmp_path / "text.pem"
    text.write_text("no certificate")
    locked = tmp_path / "locked.key"
    form, secret = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(pki.node.key.private_bytes(serialization.Encoding.PEM, form, secret))
    for change, wanted in (
        ({"certificate": tmp_path / "none.pem"}, "none.pem: cannot be read"),
        ({"certificate": text}, "are no certificate and its private key"),
        ({"key": pki.sender.secret}, "are no certificate and its private key"),
        ({"key": locked}, "are no certificate and its private key without password"),
        ({"authorities": text}, "text.pem: holds no certificates of authorities"),
    ):
        with pytest.raises(UsageError, match=wanted):
            listen(tls={**good, **change})
