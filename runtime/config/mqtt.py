"""``[mqtt]``: the broker that alerts and telemetry go to, and how the daemon is let in."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from runtime.config.section import Section

_TLS_PORT = 8883


class Mqtt(Section):
    """The broker that alerts and telemetry go to."""

    enabled: bool = Field(True, title="Publish at all")
    host: str = Field("localhost", min_length=1, title="Broker's host")
    port: int = Field(1883, ge=1, le=65535, title="Broker's port; with tls 8883 by default")
    tls: bool = Field(
        False,
        title="Encrypt the connection, and check who the broker is",
        description="Its certificate must name host.",
    )
    ca_file: Path | None = Field(
        None,
        title="Certificates of the authorities that may vouch for the broker",
        description="None: those that this machine trusts.",
    )
    certificate_file: Path | None = Field(
        None, title="This machine's own certificate, for a broker that asks for one"
    )
    key_file: Path | None = Field(None, title="The private key of certificate_file")
    username: str | None = Field(None, title="User")
    password_file: Path | None = Field(
        None,
        title="File that holds the password, and only it",
        description="As every secret file, credential:NAME means one that systemd's LoadCredential gives.",
    )
    topic: str = Field(
        "tremorscope", pattern=r"^[^+#\s/][^+#\s]*$", title="First level(s) of every topic"
    )
    protocol: Literal["5", "3.1.1"] = Field(
        "5",
        title="MQTT version",
        description="With 3.1.1 a broker cannot say that it refused a message or that nobody "
        "listens: such alerts count as delivered.",
    )
    keepalive_s: int = Field(15, ge=2, le=3600, title="MQTT keep-alive (s)")
    replay_hz: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = Field(
        100.0,
        title="Most messages a second of telemetry that waited for the broker",
        description="Lower it for a slow line; alerts and new telemetry do not wait for these.",
    )

    pictures: bool = Field(
        False,
        title="Send pictures, at most 200 kB each",
        description="The snapshot of the last alert, which the broker keeps, and whatever "
        "command/snapshot orders. Otherwise no picture leaves the device over MQTT.",
    )

    @property
    def is_local(self) -> bool:
        """Whether nothing leaves this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def notices(self) -> list[str]:
        """What is allowed, and may not be meant."""
        if self.password_file is not None and not self.tls and not self.is_local:
            return [
                f"mqtt: the password goes to {self.host} readable by everybody on the way; set tls = true"
            ]
        return []

    @model_validator(mode="before")
    @classmethod
    def _tls_has_its_own_port(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("tls") is True and "port" not in given:
            return {**given, "port": _TLS_PORT}
        return given

    @model_validator(mode="after")
    def _certificates_belong_to_tls(self) -> "Mqtt":
        for one, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise ValueError(f"{one} is given without {other}; add it, or remove both")
        for name in ("ca_file", "certificate_file"):
            if getattr(self, name) is not None and not self.tls:
                raise ValueError(f"{name} is given without tls = true; add it, or remove {name}")
        return self
