"""A connection to an MQTT broker that outlives the broker's absence and loses nothing that it acknowledged.

Messages come by quality of service 1 in a session that the broker keeps meanwhile. One is acknowledged once it is in
the run's journal; while too many values wait for their step, messages stay unacknowledged, and the broker, which may
have only so many of those under way, keeps the rest.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cosim.core import CosimError, InputFileError

from .specification import Broker

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

_CONNECT_S = 10.0
_UNDER_WAY = 200
"""Most messages that the broker sends before it waits for acknowledgement."""
_SESSION_S = 7 * 86400
"""How long the broker keeps a session without a connection. [s]"""
_CLOSE_S = 5.0
"""How long to wait at the end for the broker's acknowledgement of what was published. [s]"""
_ACCEPTED = 1 << 20
"""Packets that are longer than this and than twice the longest payload are not even sent by the broker. [byte]"""

_QUEUE_FULL = 15
"""paho's MQTT_ERR_QUEUE_SIZE."""

OnMessage = Callable[[str, bytes | bytearray], bool]


class MqttConnection:
    """A client of a broker, with its own thread.

    Parameters
    ----------
    broker
        Address, credentials and limits.
    role
        Appended to the session's name, which must be unique at the broker.
    topics
        Filters to subscribe to.
    on_message
        Called in the client's thread with topic and payload; returns whether the message is taken and may be
        acknowledged. If not, it is offered again by `offer`.
    """

    def __init__(
        self, broker: Broker, role: str, topics: Sequence[str] = (), on_message: OnMessage | None = None
    ) -> None:
        self._broker, self._topics, self._on_message = broker, tuple(topics), on_message
        self._role = role
        self.notes: deque[tuple[str, str]] = deque(maxlen=1000)
        """Events since they were last taken: kind and text."""
        self._unacknowledged: deque[mqtt.MQTTMessage] = deque()
        self._lock = threading.RLock()
        self._client: mqtt.Client | None = None
        self._ready, self._refusal = threading.Event(), ""
        self._was_connected = False
        self.unconfirmed = 0
        """Published messages that the broker has not acknowledged."""
        self._published = threading.Condition()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._broker.host}:{self._broker.port or (8883 if self._broker.tls else 1883)}"

    def open(self) -> None:
        """Connect and subscribe.

        Raises
        ------
        CosimError
            If the broker cannot be reached or refuses, or its certificate is wrong.
        InputFileError
            If a file with the password or certificates cannot be read.
        """
        try:
            import paho.mqtt.client as mqtt  # an extra
            from paho.mqtt.enums import CallbackAPIVersion
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties
        except ModuleNotFoundError as error:
            raise CosimError("MQTT needs paho-mqtt: install it with pip install 'cosim-city[live]'") from error
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._broker.session}-{self._role}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        password = self._password()
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, password)
        if self._broker.tls is not None:
            client.tls_set_context(self._tls_context())
        client.reconnect_delay_set(1, 30)
        client.max_queued_messages_set(self._broker.max_queue)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_subscribe, client.on_message = self._subscribed, self._received
        client.on_publish = self._confirmed
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = _UNDER_WAY
        properties.MaximumPacketSize = max(_ACCEPTED, 2 * self._broker.max_payload)
        host, _, port = self.address.rpartition(":")
        client.connect_timeout = _CONNECT_S
        try:
            client.connect(host, int(port), keepalive=30, clean_start=False, properties=properties)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise CosimError(
                f"broker {self.address}: its certificate or encryption is refused ({reason}); check tls.ca and the "
                "host name"
            ) from error
        except (OSError, ValueError) as error:
            raise CosimError(
                f"broker {self.address} cannot be reached ({getattr(error, 'strerror', None) or error}): start it, or "
                "correct broker.host and broker.port"
            ) from error
        self._client = client
        client.loop_start()
        if not self._ready.wait(_CONNECT_S) or self._refusal:
            refusal = self._refusal or "no answer in time"
            self.close()
            raise CosimError(f"broker {self.address} refuses: {refusal}")

    def _password(self) -> str | None:
        broker = self._broker
        if broker.password_env is not None:
            if broker.password_env not in os.environ:
                raise CosimError(f"environment variable {broker.password_env} with the broker's password is not set")
            return os.environ[broker.password_env]
        if broker.password_file is not None:
            try:
                return broker.password_file.read_text(encoding="utf-8").partition("\n")[0]
            except (OSError, UnicodeDecodeError) as error:
                raise InputFileError(
                    f"cannot read the broker's password from {broker.password_file}: {error}"
                ) from error
        return None

    def _tls_context(self) -> ssl.SSLContext:
        tls = self._broker.tls
        assert tls is not None
        try:
            context = ssl.create_default_context(cafile=str(tls.ca))
            if tls.certificate is not None:
                context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            raise InputFileError(f"cannot use the certificates of broker {self.address}: {error}") from error
        return context

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"{str(reason).lower()}; check username and password"
            self._ready.set()
            return
        if self._was_connected:
            self.notes.append(("broker back", f"connected to {self.address} again"))
        self._was_connected = True
        if self._topics:
            with self._lock:
                self._unacknowledged.clear()  # the broker sends them again
            client.subscribe([(topic, _quality()) for topic in self._topics])
        else:
            self._ready.set()

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [topic for topic, reason in zip(self._topics, reasons) if reason.is_failure]
        if refused:
            self._refusal = f"the topic {refused[0]!r} is not open to this user"
            self.notes.append(("topic refused", f"{self.address}: {refused[0]}"))
        self._ready.set()

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._was_connected and self._client is not None:
            self.notes.append(("broker lost", f"{self.address}: {str(reason).lower()}; trying to reconnect"))

    def _received(self, client: Any, _data: Any, message: Any) -> None:
        assert self._on_message is not None
        with self._lock:
            if not self._unacknowledged and self._on_message(message.topic, message.payload):
                client.ack(message.mid, message.qos)
            else:
                self._unacknowledged.append(message)

    def offer(self) -> None:
        """Offer messages again that were not taken."""
        assert self._client is not None
        assert self._on_message is not None
        with self._lock:
            while self._unacknowledged:
                message = self._unacknowledged[0]
                if not self._on_message(message.topic, message.payload):
                    return
                self._client.ack(message.mid, message.qos)
                self._unacknowledged.popleft()

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> bool:
        """Publish a message, now or when the broker is back; return False if too many wait already."""
        assert self._client is not None
        with self._published:  # not while publishing: it takes a lock that the client confirms with
            self.unconfirmed += 1
        taken = bool(self._client.publish(topic, payload, qos=1, retain=retain).rc != _QUEUE_FULL)
        if not taken:
            self._confirmed()
        return taken

    def _confirmed(self, *_: Any) -> None:
        with self._published:
            self.unconfirmed -= 1
            self._published.notify_all()

    def close(self) -> None:
        """Disconnect; the broker keeps the session."""
        client, self._client = self._client, None
        if client is None:
            return
        with self._published:
            self._published.wait_for(lambda: not self.unconfirmed or not client.is_connected(), _CLOSE_S)
        client.disconnect()
        client.loop_stop()


def _quality() -> Any:
    from paho.mqtt.subscribeoptions import SubscribeOptions

    return SubscribeOptions(qos=1)
