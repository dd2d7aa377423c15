"""A LUC's authority, its hosts' certificates and the membership keyring, as files.

The authority is `ca.pem` and `ca.key` in one directory; a host's certificate is `NODE.pem` and `NODE.key`
beside them and serves both ends of mutual TLS. A keyring has one base64 AES key a line: the first seals, all
open. Nothing here overwrites a file: that raises `AlreadyExists`.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lucos.errors import AlreadyExists, InputError

AUTHORITY_DAYS = 3650
HOST_DAYS = 1825
CLOCK_SKEW = datetime.timedelta(hours=1)
KEY_BYTES = 32

_NODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def create_authority(directory: Path) -> tuple[Path, Path]:
    """Make a certificate authority in `directory` (made if absent, mode 0700): (ca.pem, ca.key)."""
    certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
    _refuse_existing(certificate_path, key_path)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("LUC authority")
    builder = _builder(name, name, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    _write_pair(certificate_path, key_path, builder.sign(key, hashes.SHA256()), key)
    return certificate_path, key_path


def issue_certificate(directory: Path, node: str, addresses: Iterable[str]) -> tuple[Path, Path]:
    """Issue the certificate of host `node`, reached at IP `addresses`: (NODE.pem, NODE.key).

    Raises `InputError` for a bad name or address, or when `directory` holds no usable authority.
    """
    if not _NODE.fullmatch(node):
        raise InputError(f"{node!r} is not a host name", hint="use small letters, digits, dots and hyphens")
    try:
        alternatives = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    except ValueError as error:
        raise InputError(f"host {node}: {error}") from None
    certificate_path, key_path = directory / f"{node}.pem", directory / f"{node}.key"
    _refuse_existing(certificate_path, key_path)
    authority, authority_key = _read_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(node), authority.subject, key.public_key(), HOST_DAYS)
    names = x509.SubjectAlternativeName([x509.DNSName(node), *alternatives])
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(uses, critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    _write_pair(certificate_path, key_path, builder.sign(authority_key, hashes.SHA256()), key)
    return certificate_path, key_path


def create_keyring(path: Path) -> Path:
    """Write a keyring with one new AES-256 key."""
    _write_new(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n", 0o600)
    return path


def read_keyring(path: Path) -> list[bytes]:
    """The keys of a keyring, 32 bytes each, at least one; raises `InputError` naming file and line."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise InputError("no such keyring", file=str(path), hint="luc init writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the keyring: {error}", file=str(path)) from None
    keys = [_decode_key(text, path, number) for number, text in enumerate(lines, 1) if text.strip()]
    if not keys:
        raise InputError("the keyring holds no key", file=str(path), hint="luc init writes one")
    return keys


def _decode_key(text: str, path: Path, line: int) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(f"not a base64 key of {KEY_BYTES} bytes", file=str(path), line=line)
    return key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # Peers whose clocks are behind must accept a certificate issued a moment ago.
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise InputError("no authority here", file=error.filename, hint="luc init makes one") from None
    except ValueError as error:
        raise InputError(f"not an authority: {error}", file=str(directory)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise InputError(f"not the key of {certificate_path.name}", file=str(key_path))
    return certificate, key


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise AlreadyExists(f"{path} exists", hint="move it away first; it is never overwritten")


def _write_pair(
    certificate_path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_new(key_path, secret, 0o600)
    _write_new(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        # O_EXCL rather than a check: of two writers at once exactly one succeeds.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise AlreadyExists(f"{path} exists", hint="move it away first; it is never overwritten") from None
    with open(descriptor, "wb") as file:
        file.write(content)
