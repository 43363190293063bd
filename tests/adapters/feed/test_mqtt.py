"""The connection to a broker, beside a client whose thread confirms while it holds the lock that publishing takes."""

import threading
from types import SimpleNamespace

from cosim.adapters.feed.mqtt import MqttConnection
from cosim.adapters.feed.specification import Broker


def test_publishing_while_the_client_confirms_ends():
    connection = MqttConnection(Broker(), "publish")
    lock, publishing, locked = threading.Lock(), threading.Event(), threading.Event()

    class Client:
        """paho holds its lock on outgoing messages in both places."""

        def publish(self, *_, **__):
            publishing.set()
            with lock:
                return SimpleNamespace(rc=0)

    def confirm():
        with lock:
            locked.set()
            publishing.wait(60)
            connection._confirmed()

    connection._client = Client()
    theirs = threading.Thread(target=confirm, daemon=True)
    theirs.start()
    locked.wait(60)
    ours = threading.Thread(target=connection.publish, args=("topic", "text"), daemon=True)
    ours.start()
    for thread in (ours, theirs):
        thread.join(60)
        assert not thread.is_alive()
    assert connection.unconfirmed == 0


def test_a_message_that_is_not_taken_is_not_waited_for():
    connection = MqttConnection(Broker(), "publish")
    connection._client = SimpleNamespace(publish=lambda *_, **__: SimpleNamespace(rc=15))
    assert not connection.publish("topic", "text")
    assert connection.unconfirmed == 0
