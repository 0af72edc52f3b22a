"""Is a member of a consumer group with confluent-kafka, saying what ../README.md describes."""
import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


def say(kind, **more):
    print(json.dumps({"e": kind, "t": time.monotonic_ns(), **more}), flush=True)


class Member:
    """Everything happens on the thread that polls, the callbacks included."""

    def __init__(self, bootstrap, group, topic, assignor, instance, session):
        config = {
            "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
            "max.poll.interval.ms": 30000, "fetch.wait.max.ms": 300, "reconnect.backoff.max.ms": 1000, "debug": "cgrp",
        }
        if assignor == "consumer":
            config["group.protocol"] = "consumer"
        else:
            config["session.timeout.ms"] = int(session)
            config["heartbeat.interval.ms"] = int(session) // 6
            config["partition.assignment.strategy"] = assignor
        if instance:
            config["group.instance.id"] = instance
        self.topic = topic
        self.read = []  # not yet said
        self.pending = {}  # said and not committed, of partitions that are still owned: the offset to read next
        self.consumer = Consumer(config)
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def assigned(self, _, partitions):
        if partitions:
            say("assigned", p=[tp.partition for tp in partitions])

    def revoked(self, _, partitions):
        self.flush()
        self.gone("revoked", partitions)

    def lost(self, _, partitions):
        self.gone("lost", partitions)

    def gone(self, kind, partitions):
        numbers = [tp.partition for tp in partitions]
        self.pending = {p: o for p, o in self.pending.items() if p not in numbers}
        self.read = [r for r in self.read if r[0] not in numbers]
        if numbers:
            say(kind, p=numbers)

    def poll(self):
        """Reads up to 200 records, as long as some are there, says them and commits."""
        wait = 0.2
        while len(self.read) < 200:
            message = self.consumer.poll(wait)
            if message is None:
                break
            wait = 0
            error = message.error()
            if error is None:
                key, number = message.value().split()
                self.read.append([message.partition(), message.offset(), int(key), int(number)])
            elif error.code() in (KafkaError._FATAL, KafkaError._MAX_POLL_EXCEEDED):  # fatal() is false of what poll returns
                raise KafkaException(error)
        self.flush()

    def flush(self):
        """Says what was read and commits it. What the broker refuses is tried again, unless its partition goes."""
        if self.read:
            say("records", r=self.read)
        for partition, offset, _, _ in self.read:
            self.pending[partition] = offset + 1
        self.read = []
        if not self.pending:
            return
        sent = time.monotonic_ns()
        offsets = [TopicPartition(self.topic, p, o) for p, o in self.pending.items()]
        try:
            for tp in self.consumer.commit(offsets=offsets, asynchronous=False):
                if tp.error is not None:
                    raise KafkaException(tp.error)
        except KafkaException as e:
            if e.args[0].fatal():
                raise
            say("refused", why=e.args[0].name())
            return
        say("committed", s=sent, o=list(self.pending.items()))
        self.pending = {}


def main(_, *args):
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    member = Member(*args)
    while not ended.is_set():
        try:
            member.poll()
        except KafkaException as e:
            if "fenced" not in str(e):  # by itself: see fencedByItself in ../confluent-go/member.go
                raise
            say("restarted", why="fenced by itself")
            member.consumer.close()
            member = Member(*args)
    say("leaving")
    member.consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
