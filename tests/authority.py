"""Certificates for tests."""

import subprocess
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs certificates, as a company's own authority does."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        _openssl(
            *(
                "req",
                "-x509",
                *_NEW_KEY,
                "-days",
                "2",
                "-subj",
                f"/CN={name}",
            ),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def signed(self, name: str, *, host: str | None = None) -> tuple[Path, Path]:
        """Certificate and key of ``name``."""
        certificate, key, asked = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        _openssl(
            *("req", *_NEW_KEY, "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", asked),
        )
        extensions = self.folder / "extensions"
        extensions.write_text("" if host is None else f"subjectAltName={host}\n")
        _openssl(
            *("x509", "-req", "-days", "2", "-in", asked, "-CA", self.certificate),
            *("-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-out", certificate),
        )
        return certificate, key


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
