"""``[page]``: the live page of one camera, and who may see it."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from runtime.config.section import Section

HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]


class Page(Section):
    """The live page, metrics and probes, over HTTP."""

    enabled: bool = Field(False, title="Serve the live page at all")
    host: HostName = Field(
        "127.0.0.1",
        title="Address to listen on",
        description="Any other than this machine's own needs user, password_file, certificate and key.",
    )
    port: int = Field(8080, ge=1, le=65535, title="Port; one for each camera of a machine")
    user: str | None = Field(None, pattern=r"^[^:\x00-\x1f]+$", title="User")
    password_file: Path | None = Field(None, title="File that holds the password, and only it")
    certificate: Path | None = Field(None, title="File of the TLS certificate, and those above it")
    key: Path | None = Field(None, title="File of the certificate's private key")
    names: tuple[HostName, ...] = Field(
        (),
        title="Further names that browsers reach it by",
        description="Known are localhost, the machine's name with and without .local, host, and all "
        "numbers. Whoever asks for another is refused, since a foreign page may have sent them.",
    )
    watchers: int = Field(4, ge=1, le=32, title="How many may watch the picture at once")

    @property
    def is_local(self) -> bool:
        """Whether it listens on this machine's own address, which no other machine reaches."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def scheme(self) -> str:
        return "http" if self.certificate is None else "https"

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> "Page":
        for one, other in (("user", "password_file"), ("certificate", "key")):
            given, missing = one, other
            if getattr(self, one) is None:
                given, missing = other, one
            if getattr(self, given) is not None and getattr(self, missing) is None:
                raise ValueError(f"{given} is given without {missing}; add it, or remove both")
        return self

    @model_validator(mode="after")
    def _others_need_credentials(self) -> "Page":
        needed = ("user", "password_file", "certificate", "key")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing and not self.is_local:
            raise ValueError(
                f'host = "{self.host}" lets other machines in, and {", ".join(missing)} '
                f"{'is' if len(missing) == 1 else 'are'} missing; give "
                f"{'it' if len(missing) == 1 else 'them'}, or leave host out and reach the page "
                "through an SSH tunnel"
            )
        return self
