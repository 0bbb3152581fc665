"""A real Mosquitto with the shipped configuration."""

from pathlib import Path

from authority import Authority
from broker import Mosquitto, free_port

from benchmarks.shipped_mosquitto import install

USERS = {
    "bridge": "of the camera bridge",
    "tower": "of the camera tower",
    "reader": "of who looks on",
    "telegraf": "of the collector",
    "telegraf-alerts": "of the collector",
    "telegraf-state": "of the collector",
    "operator": "of who acts",
}


class ShippedMosquitto(Mosquitto):
    """With TLS, where there is an authority for its certificate; ``more`` goes into ``conf.d``."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        super().__init__(folder)
        self.tls_port = free_port()
        self.authority = authority
        self.users = dict(USERS)
        self.more = ""
        self._certificate = authority and authority.signed("broker", host="IP:127.0.0.1")

    def configuration(self) -> Path:
        tls = None
        if self.authority is not None and self._certificate:
            tls = (self.tls_port, self.authority.certificate, *self._certificate)
        path = install(self.folder, self.users, port=self.port, tls=tls)
        (path.parent / "conf.d" / "more.conf").write_text(self.more)
        return path

    def login(self, user: str) -> tuple[str, str]:
        return user, self.users[user]

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text()
