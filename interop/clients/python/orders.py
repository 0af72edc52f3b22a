"""Processes orders as one of a group, and commits after each; with kafka-python, 2.0.2 or newest. Says what ../README.md describes."""
import json
import sys
import threading
import time

try:
    import kafka
except ImportError:  # 2.0.2 brings a copy of six that Python 3.12 cannot import from
    import six

    sys.modules["kafka.vendor.six.moves"] = six.moves

from kafka import KafkaConsumer


def say(kind, **more):
    print(json.dumps({"e": kind, "t": time.monotonic_ns(), **more}), flush=True)


class OrderProcessor:
    def __init__(self, bootstrap, group, topic, client, session, hold):
        self.left = int(hold)  # after so many orders it stands still, between processing and commit; 0: never
        self.consumer = KafkaConsumer(
            topic,
            bootstrap_servers=[bootstrap],
            group_id=group,
            client_id=client,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=int(session),
            heartbeat_interval_ms=int(session) // 6,
            value_deserializer=lambda v: json.loads(v.decode("utf-8")),
        )

    def run(self):
        for message in self.consumer:
            order = message.value
            say("records", r=[[message.partition, message.offset, order["customer"], order["number"]]])
            self.left -= 1
            if self.left == 0:
                threading.Event().wait()
            sent = time.monotonic_ns()
            self.consumer.commit()
            say("committed", s=sent, o=[[message.partition, message.offset + 1]])


if __name__ == "__main__":
    OrderProcessor(*sys.argv[1:]).run()
