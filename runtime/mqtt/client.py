"""paho's client as this project uses it: who it is, how it is let in, what its messages carry."""

import ssl

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from failure import Failure
from runtime.config import Mqtt
from runtime.config.password_file import password_in

MOST_TAKEN_BYTES = 65_536
"""The broker keeps larger messages for itself, so that nobody can fill this machine's memory."""

_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


def client_id_for(prefix: str) -> str:
    """Who the broker knows a camera's daemon as."""
    return f"tremorscope-{prefix.replace('/', '-')}"


def client_for(mqtt: Mqtt, prefix: str, *, role: str | None = None) -> Client:
    """A client that is not connected yet; ``prefix`` is what all of its topics begin with.

    ``role`` tells it from the daemon, which the broker would cut off for another client of its name.

    Raises:
        Failure: the password file or a certificate cannot be read, or the host is no host name.
    """
    try:
        mqtt.host.encode("idna")  # an impossible name would end paho's thread
    except UnicodeError:
        raise Failure(f'mqtt.host = "{mqtt.host}": is not a host name; correct it') from None
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id_for(prefix) + (f"-{role}" if role else ""),
        protocol=_PROTOCOLS[mqtt.protocol],
    )
    if mqtt.username is not None:
        file = mqtt.password_file
        password = None if file is None else password_in(file, "mqtt.password_file")
        client.username_pw_set(mqtt.username, password)
    elif mqtt.password_file is not None:
        raise Failure("mqtt.password_file is given without mqtt.username; add the user's name")
    if mqtt.tls:
        client.tls_set_context(_tls(mqtt))
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    return client


def _tls(mqtt: Mqtt) -> ssl.SSLContext:
    """Checks the broker's certificate and name, and shows this machine's own where there is one."""
    try:
        context = ssl.create_default_context(cafile=mqtt.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Failure(
            f"mqtt.ca_file: {mqtt.ca_file} cannot be used ({_reason(error)}); give the file of the "
            "authority's certificate in PEM form"
        ) from None
    if mqtt.certificate_file is not None:
        try:
            # A password would be asked for on a terminal that a daemon does not have.
            context.load_cert_chain(mqtt.certificate_file, mqtt.key_file, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise Failure(
                f"mqtt.certificate_file, mqtt.key_file: {mqtt.certificate_file} and {mqtt.key_file} cannot "
                f"be used ({_reason(error)}); give certificate and key that belong together, in PEM form "
                "and without a password"
            ) from None
    return context


def _no_password() -> str:
    return ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def connect_properties(mqtt: Mqtt) -> Properties | None:
    """Of the connection; None where the protocol has none."""
    if mqtt.protocol != "5":
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.MaximumPacketSize = MOST_TAKEN_BYTES
    return properties


def properties_for(
    mqtt: Mqtt,
    *,
    expires_s: int | None = None,
    correlation: bytes | None = None,
    picture_stamp: str | None = None,
    replayed: bool = False,
) -> Properties | None:
    """Of a message, which is JSON, or a JPEG where it has a ``picture_stamp``; None where the protocol has
    none. ``replayed`` marks what had to wait for a connection."""
    if mqtt.protocol != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.ContentType = "application/json"
    if picture_stamp is not None:
        properties.ContentType = "image/jpeg"
        properties.UserProperty = [("stamp", picture_stamp)]
    if expires_s is not None:
        properties.MessageExpiryInterval = expires_s
    if replayed:
        properties.UserProperty = ("replayed", "true")
    if correlation is not None:
        properties.CorrelationData = correlation
    return properties
