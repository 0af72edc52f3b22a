"""Is a member of a consumer group with kafka-python, saying what ../README.md describes."""
import json
import logging
import sys
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import FencedInstanceIdError, KafkaError, RetriableError

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


said = threading.Lock()


def say(kind, **more):
    with said:
        print(json.dumps({"e": kind, "t": time.monotonic_ns(), **more}), flush=True)


class Member(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic, assignor, instance, session):
        self.pending = {}  # said and not committed, of partitions that are still owned: the offset to read next
        self.given = set()  # assigned, and not yet set to what is committed
        self.consumer = KafkaConsumer(
            bootstrap_servers=[bootstrap], group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
            session_timeout_ms=int(session), heartbeat_interval_ms=int(session) // 6, max_poll_interval_ms=30000,
            max_poll_records=200, fetch_max_wait_ms=300, reconnect_backoff_max_ms=1000,
            partition_assignment_strategy=[ASSIGNORS[assignor]],
            group_instance_id=instance or None,
        )
        self.consumer.subscribe([topic], listener=self)

    def on_partitions_assigned(self, partitions):
        self.given.update(partitions)
        if partitions:
            say("assigned", p=[tp.partition for tp in partitions])

    def on_partitions_revoked(self, partitions):
        self.gone("revoked", partitions)

    def on_partitions_lost(self, partitions):
        self.gone("lost", partitions)

    def gone(self, kind, partitions):
        self.pending = {tp: o for tp, o in self.pending.items() if tp not in partitions}
        self.given.difference_update(partitions)
        if partitions:
            say(kind, p=[tp.partition for tp in partitions])

    def begin(self):
        """Has partitions that were assigned read on from what is committed. 3.0.12 goes on where it was itself, if it had the partition before it
        joined: also where it was thrown out while it did, and others have had the partition meanwhile."""
        for tp in list(self.given):
            try:
                self.consumer.seek(tp, self.consumer.committed(tp) or 0)
            except KafkaError as e:
                say("refused", why=type(e).__name__)
                return
            self.given.discard(tp)

    def poll(self):
        """Reads what is there, says so and commits it. What the broker refuses is tried again, unless its partition goes."""
        read = []
        try:
            polled = self.consumer.poll(timeout_ms=200)
        except RetriableError as e:  # 3.0.12 hands out of poll what it and its heartbeats meet while the broker is down
            say("refused", why=type(e).__name__)
            return
        given = set(self.given)
        self.begin()
        for tp, records in polled.items():
            if tp in given:
                continue
            for r in records:
                key, number = r.value.split()
                read.append([tp.partition, r.offset, int(key), int(number)])
            self.pending[tp] = records[-1].offset + 1
        if read:
            say("records", r=read)
        if not self.pending:
            return
        sent = time.monotonic_ns()
        offsets = dict(self.pending)
        try:
            self.consumer.commit({tp: OffsetAndMetadata(o, "", -1) for tp, o in offsets.items()})
        except FencedInstanceIdError:
            raise
        except KafkaError as e:
            say("refused", why=type(e).__name__)
            return
        say("committed", s=sent, o=[[tp.partition, o] for tp, o in offsets.items()])
        self.pending = {tp: o for tp, o in self.pending.items() if offsets.get(tp) != o}


def main(_, *args):
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    member = Member(*args)
    while not ended.is_set():
        member.poll()
    say("leaving")
    member.consumer.close(autocommit=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
