"""Produces or consumes with kafka-python, 2.0.2 or newest, speaking the line protocol that ../README.md describes."""
import sys
import time

try:
    import kafka
except ImportError:  # 2.0.2 brings a copy of six that Python 3.12 cannot import from
    import six

    sys.modules["kafka.vendor.six.moves"] = six.moves
    import kafka

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

FEATURES = {"enable_idempotence", "transactional_id"} & KafkaProducer.DEFAULT_CONFIG.keys()


def decode(field):
    return None if field == "-" else bytes.fromhex(field)


def encode(value):
    return "-" if value is None else value.hex()


def produce(bootstrap, topic, codec, idempotent, acks="all"):
    config = {}
    if "enable_idempotence" in FEATURES:
        config["enable_idempotence"] = idempotent == "true"
    producer = KafkaProducer(
        bootstrap_servers=[bootstrap],
        compression_type=None if codec == "none" else codec,
        acks=acks if acks == "all" else int(acks),
        linger_ms=5,
        batch_size=64 << 10,
        max_request_size=4 << 20,
        **config,
    )
    futures = []
    for line in sys.stdin:
        if line == "\n":
            report(producer, futures)
            futures = []
            continue
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
    report(producer, futures)
    producer.close()


def report(producer, futures):
    producer.flush(timeout=60)
    for future in futures:
        meta = future.get(timeout=60)
        print(f"{meta.partition}\t{meta.offset}")
    sys.stdout.flush()


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


def follow(bootstrap, topic):
    consumer = KafkaConsumer(
        bootstrap_servers=[bootstrap], group_id=None, enable_auto_commit=False, auto_offset_reset="earliest", metadata_max_age_ms=500,
    )
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    while True:
        try:
            for records in consumer.poll(timeout_ms=500).values():
                for r in records:
                    print(r.value.decode(), flush=True)
        except Exception as e:  # whatever the client makes of a topic that is gone
            print(f"{type(e).__name__} {e}".replace("\n", " "), flush=True)
            time.sleep(0.5)


def topics(bootstrap):
    consumer = KafkaConsumer(bootstrap_servers=[bootstrap], group_id=None)
    for topic in consumer.topics():
        print(f"{topic}\t{len(consumer.partitions_for_topic(topic))}")
    consumer.close()


def transaction(bootstrap):
    producer = KafkaProducer(bootstrap_servers=[bootstrap], transactional_id="refused", max_block_ms=10000)
    try:
        producer.init_transactions()
    except Exception as e:  # whatever the client makes of the refusal is the answer
        print(f"{type(e).__name__} {e}".replace("\n", " "))
    else:
        sys.exit("a transactional id was accepted")
    finally:
        producer.close(timeout=1)


if __name__ == "__main__":
    {"produce": produce, "consume": consume, "follow": follow, "topics": topics, "transaction": transaction}[sys.argv[1]](*sys.argv[2:])
