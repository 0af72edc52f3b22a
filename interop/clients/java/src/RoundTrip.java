import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Produces or consumes with the Java client, speaking the line protocol that ../../README.md describes. */
public final class RoundTrip {
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1], args[2], args[3], args[4], args.length > 5 ? args[5] : "all");
            case "consume" -> consume(args[1], args[2]);
            case "topics" -> topics(args[1]);
            default -> transaction(args[1]);
        }
    }

    private static byte[] decode(String field) {
        return field.equals("-") ? null : HEX.parseHex(field);
    }

    private static String encode(byte[] value) {
        return value == null ? "-" : HEX.formatHex(value);
    }

    private static void produce(String bootstrap, String topic, String codec, String idempotent, String acks)
            throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("compression.type", codec);
        p.put("enable.idempotence", idempotent);
        p.put("acks", acks);
        p.put("linger.ms", "5");
        p.put("batch.size", "65536");
        p.put("max.request.size", "4194304");
        p.put("max.in.flight.requests.per.connection", idempotent.equals("true") ? "5" : "1");
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out)));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (line.isEmpty()) {
                    report(producer, futures, out);
                    continue;
                }
                String[] f = line.split("\t", -1);
                ProducerRecord<byte[], byte[]> r =
                        new ProducerRecord<>(topic, null, Long.parseLong(f[3]), decode(f[0]), decode(f[1]));
                for (String h : f[2].split(";")) {
                    if (!h.isEmpty()) {
                        int eq = h.indexOf('=');
                        r.headers().add(h.substring(0, eq), HEX.parseHex(h.substring(eq + 1)));
                    }
                }
                futures.add(producer.send(r));
            }
            report(producer, futures, out);
        }
    }

    /** Waits for all that was sent and prints where it went. */
    private static void report(KafkaProducer<byte[], byte[]> producer, List<Future<RecordMetadata>> futures, PrintWriter out)
            throws Exception {
        producer.flush();
        for (Future<RecordMetadata> future : futures) {
            RecordMetadata m = future.get();
            out.println(m.partition() + "\t" + m.offset());
        }
        futures.clear();
        out.flush();
    }

    private static void topics(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.listTopics().forEach((topic, of) -> System.out.println(topic + "\t" + of.size()));
        }
    }

    private static void transaction(String bootstrap) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", "refused");
        p.put("max.block.ms", "10000");
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
        } catch (KafkaException e) {
            System.out.println(e.toString().replace('\n', ' '));
            return;
        }
        throw new IllegalStateException("a transactional id was accepted");
    }

    private static void consume(String bootstrap, String topic) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("enable.auto.commit", "false");
        p.put("max.partition.fetch.bytes", "4194304");
        PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out)));
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(i -> partitions.add(new TopicPartition(topic, i.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> end = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(tp -> consumer.position(tp) < end.get(tp))) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
                    print(out, r);
                }
            }
        }
        out.flush();
    }

    private static void print(PrintWriter out, ConsumerRecord<byte[], byte[]> r) {
        StringBuilder headers = new StringBuilder();
        for (Header h : r.headers()) {
            if (headers.length() > 0) {
                headers.append(';');
            }
            headers.append(h.key()).append('=').append(encode(h.value()));
        }
        out.println(r.partition() + "\t" + r.offset() + "\t" + encode(r.key()) + "\t" + encode(r.value()) + "\t"
                + headers + "\t" + r.timestamp());
    }
}
