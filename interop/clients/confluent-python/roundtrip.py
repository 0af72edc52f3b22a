"""Produces or consumes with confluent-kafka, speaking the line protocol that ../README.md describes."""
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition


def decode(field):
    return None if field == "-" else bytes.fromhex(field)


def encode(value):
    return "-" if value is None else value.hex()


class Round:
    """The records since the last report, and where they went."""

    def __init__(self):
        self.stored = []
        self.errors = []

    def send(self, producer, topic, line):
        key, value, headers, timestamp = line.rstrip("\n").split("\t")
        pairs = [tuple(h.split("=", 1)) for h in headers.split(";") if h]
        at = len(self.stored)
        self.stored.append(None)

        def delivered(err, msg):
            if err is not None:
                self.errors.append(err)
            else:
                self.stored[at] = (msg.partition(), -1 if msg.offset() is None else msg.offset())

        producer.produce(
            topic, value=decode(value), key=decode(key), timestamp=int(timestamp),
            headers=[(k, bytes.fromhex(v)) for k, v in pairs], on_delivery=delivered,
        )

    def report(self, producer):
        left = producer.flush(60)
        if self.errors or left:
            sys.exit(f"{left} records left; {self.errors[:1]}")
        for partition, offset in self.stored:
            print(f"{partition}\t{offset}")
        sys.stdout.flush()


def produce(bootstrap, topic, codec, idempotent, acks="all"):
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "compression.type": codec,
        "enable.idempotence": idempotent == "true",
        "acks": acks,
        "linger.ms": 5,
        "partitioner": "murmur2_random",
        "message.max.bytes": 4 << 20,
        "topic.metadata.refresh.interval.ms": 500,
    })
    records = Round()
    for line in sys.stdin:
        if line == "\n":
            records.report(producer)
            records = Round()
        else:
            records.send(producer, topic, line)
    records.report(producer)


def consume(bootstrap, topic):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
        "auto.offset.reset": "error", "max.partition.fetch.bytes": 4 << 20,
    })
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    end = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in partitions}
    left = {p for p in partitions if end[p] > 0}
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in left])
    while left:
        for m in consumer.consume(1000, timeout=1):
            if m.error():
                raise KafkaException(m.error())
            headers = ";".join(f"{k}={v.hex()}" for k, v in m.headers() or [])
            sys.stdout.write(f"{m.partition()}\t{m.offset()}\t{encode(m.key())}\t{encode(m.value())}\t{headers}\t{m.timestamp()[1]}\n")
            if m.offset() + 1 >= end[m.partition()]:
                left.discard(m.partition())
    consumer.close()


def follow(bootstrap, topic):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "topic.metadata.refresh.interval.ms": 500,
    })
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    while True:
        m = consumer.poll(0.5)
        if m is not None:
            print(m.error() or m.value().decode(), flush=True)


def topics(bootstrap):
    metadata = Producer({"bootstrap.servers": bootstrap}).list_topics(timeout=60)
    for topic in metadata.topics.values():
        print(f"{topic.topic}\t{len(topic.partitions)}")


def transaction(bootstrap):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "refused"})
    try:
        producer.init_transactions(10)
    except KafkaException as e:
        print(f"{e.args[0].name()} {e.args[0].str()}".replace("\n", " "))
    else:
        sys.exit("a transactional id was accepted")


if __name__ == "__main__":
    {"produce": produce, "consume": consume, "follow": follow, "topics": topics, "transaction": transaction}[sys.argv[1]](*sys.argv[2:])
