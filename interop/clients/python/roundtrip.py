"""Produces or consumes with kafka-python, speaking the line protocol that ../README.md describes."""
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def decode(field):
    return None if field == "-" else bytes.fromhex(field)


def encode(value):
    return "-" if value is None else value.hex()


def produce(bootstrap, topic, codec, idempotent):
    producer = KafkaProducer(
        bootstrap_servers=[bootstrap],
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent == "true",
        acks="all",
        linger_ms=5,
        batch_size=64 << 10,
        max_request_size=2 << 20,
    )
    futures = []
    for line in sys.stdin:
        key, value, headers, timestamp = line.rstrip("\n").split("\t")
        pairs = [tuple(h.split("=", 1)) for h in headers.split(";") if h]
        futures.append(
            producer.send(
                topic,
                key=decode(key),
                value=decode(value),
                headers=[(k, bytes.fromhex(v)) for k, v in pairs],
                timestamp_ms=int(timestamp),
            )
        )
    producer.flush(timeout=60)
    for future in futures:
        meta = future.get(timeout=60)
        print(f"{meta.partition}\t{meta.offset}")
    producer.close()


def consume(bootstrap, topic):
    consumer = KafkaConsumer(
        bootstrap_servers=[bootstrap], group_id=None, enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    end = consumer.end_offsets(partitions)
    out = sys.stdout
    while any(consumer.position(tp) < end[tp] for tp in partitions):
        for tp, records in consumer.poll(timeout_ms=1000).items():
            for r in records:
                headers = ";".join(f"{k}={v.hex()}" for k, v in r.headers)
                out.write(f"{tp.partition}\t{r.offset}\t{encode(r.key)}\t{encode(r.value)}\t{headers}\t{r.timestamp}\n")
    consumer.close()


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[1]](*sys.argv[2:])
