"""Certificates that mutual TLS accepts, keyrings that read back, nothing overwritten."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from lucos.agent.security import create_authority, create_keyring, issue_certificate, read_keyring
from lucos.errors import AlreadyExists, InputError


def _context(side: ssl.Purpose, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(side, cafile=str(ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """One byte from server to client over mutual TLS; raises what the client sees."""
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as tls:
                tls.sendall(b"y")
        except (ssl.SSLError, OSError):
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        right.settimeout(5)
        with client.wrap_socket(right, server_hostname=name) as tls:
            return tls.recv(1)
    finally:
        right.close()
        thread.join(5)


def test_hosts_of_one_authority_trust_each_other_by_name_and_address(tmp_path: Path) -> None:
    ca, _ = create_authority(tmp_path)
    server = _context(ssl.Purpose.CLIENT_AUTH, ca, *issue_certificate(tmp_path, "h1", ["10.77.1.1", "::1"]))
    client = _context(ssl.Purpose.SERVER_AUTH, ca, *issue_certificate(tmp_path, "h2", ["10.77.1.2"]))
    assert _handshake(server, client, "h1") == b"y"
    assert _handshake(server, client, "10.77.1.1") == b"y"
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, client, "h2")


def test_a_host_of_another_authority_is_refused(tmp_path: Path) -> None:
    ca, _ = create_authority(tmp_path / "a")
    create_authority(tmp_path / "b")
    stranger = issue_certificate(tmp_path / "b", "h1", ["10.77.1.1"])
    server = _context(ssl.Purpose.CLIENT_AUTH, ca, *stranger)
    client = _context(ssl.Purpose.SERVER_AUTH, ca, *issue_certificate(tmp_path / "a", "h2", []))
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, client, "h1")


def test_certificates_are_backdated_and_keys_private(tmp_path: Path) -> None:
    _, ca_key = create_authority(tmp_path)
    certificate, key = issue_certificate(tmp_path, "h1", [])
    starts = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_before_utc
    behind = datetime.datetime.now(datetime.UTC) - starts
    assert datetime.timedelta(minutes=59) < behind < datetime.timedelta(minutes=61)
    assert [path.stat().st_mode & 0o777 for path in (ca_key, key)] == [0o600, 0o600]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create_authority(tmp_path)
    certificate, _ = issue_certificate(tmp_path, "h1", [])
    keyring = create_keyring(tmp_path / "keyring")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AlreadyExists, match=r"ca\.pem"):
        create_authority(tmp_path)
    with pytest.raises(AlreadyExists, match="keyring"):
        create_keyring(keyring)
    certificate.unlink()
    with pytest.raises(AlreadyExists, match=r"h1\.key"):
        issue_certificate(tmp_path, "h1", [])
    del before[certificate]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("node", ["", "../h1", "H1", "h1/", "-h", "a" * 64])
def test_bad_host_names_are_refused(tmp_path: Path, node: str) -> None:
    create_authority(tmp_path)
    with pytest.raises(InputError, match="host name"):
        issue_certificate(tmp_path, node, [])


def test_a_bad_address_and_a_missing_or_foreign_authority_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.pem"):
        issue_certificate(tmp_path, "h1", [])
    create_authority(tmp_path)
    with pytest.raises(InputError, match=r"h1.*10\.77\.1"):
        issue_certificate(tmp_path, "h1", ["10.77.1"])
    _, other_key = create_authority(tmp_path / "other")
    other_key.rename(tmp_path / "ca.key")
    with pytest.raises(InputError, match=r"not the key of ca\.pem"):
        issue_certificate(tmp_path, "h1", [])


def test_keyring_reads_all_keys_in_order(tmp_path: Path) -> None:
    path = create_keyring(tmp_path / "keyring")
    assert path.stat().st_mode & 0o777 == 0o600
    (first,) = read_keyring(path)
    second = bytes(range(32))
    path.write_text(path.read_text() + "\n" + base64.b64encode(second).decode() + "\n")
    assert read_keyring(path) == [first, second]


@pytest.mark.parametrize("text", ["", "\n", "c2hvcnQ=\n", "not base64!\n", "é\n"])
def test_bad_keyrings_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyring"
    path.write_text(text)
    with pytest.raises(InputError, match="keyring"):
        read_keyring(path)


def test_a_missing_keyring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_keyring(tmp_path / "keyring")
    assert "luc init" in caught.value.hint
