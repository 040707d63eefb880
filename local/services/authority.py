"""A certificate authority of one's own, and servers' certificates by it."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pg8000.native
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.processes.certificate import Certificate
from local.processes.children import LOOPBACK
from local.services.postgres import USER

if TYPE_CHECKING:
    from pathlib import Path

    from local.services.postgres import Postgres


class Authority:
    """A certificate authority, whose certificate is in the file `bundle`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.bundle = directory / f"{name}.pem"
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        unsigned = (
            self._certificate(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )
        self._sign(unsigned, self.bundle)

    def certificate(self, address: str) -> Certificate:
        """Return a server's certificate for an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        key_file, certificate_file = self._directory / "server.key", self._directory / "server.pem"
        self._sign(
            self._certificate(name, key.public_key()).add_extension(names, critical=False), certificate_file
        )
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Certificate(certificate_file, key_file, self.bundle)

    def certify(self, postgres: Postgres, address: str) -> None:
        """Give a running Postgres a certificate for an IP address, and return when it speaks TLS."""
        certificate = self.certificate(address)
        with _connection(postgres) as database:
            for name_of_setting, value in (
                ("ssl_cert_file", certificate.file),
                ("ssl_key_file", certificate.key),
                ("ssl", "on"),
            ):
                database.run(f"alter system set {name_of_setting} = '{value}'")
            database.run("select pg_reload_conf()")
        while not _speaks_tls(postgres):
            pass

    def server_context(self, address: str) -> ssl.SSLContext:
        """Return what a server with a certificate for an IP address speaks TLS with."""
        certificate = self.certificate(address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.key)
        return context

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        authority = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
        )

    def _sign(self, certificate: x509.CertificateBuilder, file: Path) -> None:
        signed = certificate.sign(self._key, hashes.SHA256())
        file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def _connection(postgres: Postgres) -> pg8000.native.Connection:
    return pg8000.native.Connection(USER, LOOPBACK, "postgres", postgres.port, postgres.password, timeout=30)


def _speaks_tls(postgres: Postgres) -> bool:
    with _connection(postgres) as database:
        return database.run("show ssl") == [["on"]]
