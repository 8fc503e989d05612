"""Certificates for servers on the loopback, by openssl: an authority, and what it signs. They live for two days."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS: Final = ("-days", "2")


class Authority:
    """One certificate authority.

    Args:
        folder: Takes all keys and certificates, as `<name>.key` and `<name>.crt`.
        name: Of the authority and its files.

    Attributes:
        certificate: What those who trust it are given.
        key: Its key.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        self._folder = folder
        openssl(
            folder, "req", "-x509", *_KEY, *_DAYS, *_files(name, "key"), "-out", f"{name}.crt", "-subj", f"/CN={name}"
        )

    def issue(self, name: str, *, subject: str, usage: str, names: Sequence[str] = ()) -> None:
        """Sign a certificate for a new key.

        Args:
            name: Of its files.
            subject: Such as `/O=group/CN=name`.
            usage: `serverAuth` or `clientAuth`.
            names: Such as `IP:127.0.0.1`, `DNS:localhost`.
        """
        extensions = ["basicConstraints=CA:FALSE", "authorityKeyIdentifier=keyid", f"extendedKeyUsage={usage}"]
        if names:
            extensions.append(f"subjectAltName={','.join(names)}")
        (self._folder / f"{name}.ext").write_text("\n".join(extensions))
        openssl(self._folder, "req", *_KEY, *_files(name, "key"), "-out", f"{name}.csr", "-subj", subject)
        signing = ["-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial", *_DAYS]
        request = ["-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.crt"]
        openssl(self._folder, "x509", "-req", *signing, *request)


def _files(name: str, kind: str) -> list[str]:
    return ["-keyout", f"{name}.{kind}"]


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607 - ours
