"""paho's client as this project uses it: who it is, how it is let in, what its messages carry."""

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from failure import Failure
from runtime.config import Mqtt
from runtime.password_file import password_in

MOST_TAKEN_BYTES = 65_536
"""The broker keeps larger messages for itself, so that nobody can fill this machine's memory."""

_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


def client_id_for(prefix: str) -> str:
    """Who the broker knows a camera's daemon as."""
    return f"tremorscope-{prefix.replace('/', '-')}"


def client_for(mqtt: Mqtt, prefix: str) -> Client:
    """A client that is not connected yet; ``prefix`` is what all of its topics begin with.

    Raises:
        Failure: the password file cannot be read, or the host is no host name.
    """
    try:
        mqtt.host.encode("idna")  # an impossible name would end paho's thread
    except UnicodeError:
        raise Failure(f'mqtt.host = "{mqtt.host}": is not a host name; correct it') from None
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id_for(prefix),
        protocol=_PROTOCOLS[mqtt.protocol],
    )
    if mqtt.username is not None:
        file = mqtt.password_file
        password = None if file is None else password_in(file, "mqtt.password_file")
        client.username_pw_set(mqtt.username, password)
    elif mqtt.password_file is not None:
        raise Failure("mqtt.password_file is given without mqtt.username; add the user's name")
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    return client


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
) -> Properties | None:
    """Of a message, which is JSON, or a JPEG where it has a ``picture_stamp``; None where the protocol
    has none."""
    if mqtt.protocol != "5":
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.ContentType = "application/json"
    if picture_stamp is not None:
        properties.ContentType = "image/jpeg"
        properties.UserProperty = [("stamp", picture_stamp)]
    if expires_s is not None:
        properties.MessageExpiryInterval = expires_s
    if correlation is not None:
        properties.CorrelationData = correlation
    return properties
