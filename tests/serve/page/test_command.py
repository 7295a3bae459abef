"""``acutance view`` as a user starts it, and the page as a service."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from acutance.cli import main
from acutance.errors import UsageError
from acutance.live.metrics import Metrics
from acutance.serve.kinds import KINDS, make
from acutance.serve.page.folder import PREFIX
from acutance.serve.page.settings import PageSettings
from acutance.serve.service import Context, Streams

from .conftest import EXAMPLES

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

VIEW = [sys.executable, "-c", "from acutance.cli import main; main()", "view", "--no-browser"]


def test_view_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    surroundings = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [*VIEW, "--port", "0", str(EXAMPLES / "ct-abdomen.dcm")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(found[0], timeout=10) as answer:
                assert answer.status == 200 and b"acutance" in answer.read()
            assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
        assert process.stderr.read() == ""
    assert not list(tmp_path.glob(f"{PREFIX}*"))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["nothing.dcm"], "nothing.dcm: does not exist"),
        (["--address", "example.org"], "--address: wanted an IP address"),
        (["--token", "short"], "--token: "),
        (["--certificate", "a.pem"], "certificate and key go together"),
        (["--model", "none"], "none"),
    ],
)
def test_wrong_usage_is_one_line(extra: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", "--no-browser", "--port", "0", *extra])
    lines = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code in (1, 2) and len(lines) == 1 and said in lines[0]


def a_context() -> Context:
    return Context(Metrics(), logging.LoggerAdapter(logging.getLogger("acutance.serve"), {}), Streams())


def test_the_service_starts_ends_and_knows_how_it_is(tmp_path: Path) -> None:
    assert KINDS["page"] is PageSettings
    service = make(PageSettings(name="page", port=0, folder=tmp_path), a_context())
    assert service.health() is not None
    service.start()
    try:
        assert service.health() is None
        with urllib.request.urlopen(service.url, timeout=10) as answer:  # type: ignore[attr-defined]
            assert answer.status == 200
        request = urllib.request.Request(service.url, headers={"Host": "evil.example"})  # type: ignore[attr-defined]
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(request, timeout=10)
    finally:
        service.stop(5.0)
    assert service.health() is not None and list(tmp_path.iterdir()) == []


def test_over_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    certificate, key = certify(tmp_path)
    folder = tmp_path / "uploads"
    folder.mkdir()
    said = PageSettings(name="page", port=0, folder=folder, certificate=certificate, key=key)
    service = make(said, a_context())
    service.start()
    try:
        assert service.url.startswith("https://")  # type: ignore[attr-defined]
        trusting = ssl.create_default_context(cafile=str(certificate))
        headers = {"x-acutance": "1", "content-type": "application/json"}
        request = urllib.request.Request(f"{service.url}api/login", b"{}", headers)  # type: ignore[attr-defined]
        with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
            assert answer.status == 204 and "secure" in answer.headers["set-cookie"].lower()
    finally:
        service.stop(5.0)


def certify(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that certifies itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "page")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = make(PageSettings(name="page", port=port, folder=tmp_path), a_context())
        with pytest.raises(UsageError, match=rf"port {port} cannot be bound"):
            service.start()
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_certificate_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    folder = tmp_path / "uploads"
    folder.mkdir()
    service = make(PageSettings(name="page", port=0, folder=folder, certificate=wrong, key=wrong), a_context())
    with pytest.raises(UsageError, match=r"wrong\.pem: certificate and key cannot be used"):
        service.start()
    assert list(folder.iterdir()) == []
