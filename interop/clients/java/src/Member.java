import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.StringJoiner;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.StaleMemberEpochException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Is a member of a consumer group with the Java client, saying what ../../README.md describes. */
public final class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final KafkaConsumer<String, String> consumer;

    /** Said and not committed, of partitions that are still owned. */
    private final Map<TopicPartition, OffsetAndMetadata> pending = new HashMap<>();

    private volatile boolean ended;

    public static void main(String[] args) {
        Member m = new Member(args[1], args[2], args[4], args[5], Integer.parseInt(args[6]));
        Thread input = new Thread(m::awaitEnd);
        input.setDaemon(true);
        input.start();
        m.consumer.subscribe(List.of(args[3]), m);
        while (!m.ended) {
            m.poll();
        }
        say("leaving", "");
        m.consumer.close();
    }

    private Member(String bootstrap, String group, String assignor, String instance, int session) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("max.poll.interval.ms", "30000");
        p.put("max.poll.records", "200");
        p.put("fetch.max.wait.ms", "300");
        if (assignor.equals("consumer")) {
            p.put("group.protocol", "consumer");
        } else {
            p.put("group.protocol", "classic");
            p.put("session.timeout.ms", session);
            p.put("heartbeat.interval.ms", session / 6);
            p.put("partition.assignment.strategy", ASSIGNORS.get(assignor));
        }
        if (!instance.isEmpty()) {
            p.put("group.instance.id", instance);
        }
        consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    private void awaitEnd() {
        try {
            while (System.in.read() >= 0) {}
        } catch (IOException e) {
            // as good as the end
        }
        ended = true;
    }

    private static synchronized void say(String kind, String more) {
        System.out.println("{\"e\":\"" + kind + "\",\"t\":" + System.nanoTime() + more + "}");
        System.out.flush();
    }

    private static void say(String kind, Collection<TopicPartition> partitions) {
        if (!partitions.isEmpty()) {
            StringJoiner p = new StringJoiner(",", ",\"p\":[", "]");
            partitions.forEach(tp -> p.add(Integer.toString(tp.partition())));
            say(kind, p.toString());
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        pending.keySet().removeAll(partitions);
        say("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        pending.keySet().removeAll(partitions);
        say("lost", partitions);
    }

    /**
     * Polls. One of the new protocol that is thrown out between an assignment and its OffsetFetch gets that call's answer out of poll, and joins
     * again in the next.
     */
    private ConsumerRecords<String, String> polled() {
        try {
            return consumer.poll(Duration.ofMillis(200));
        } catch (StaleMemberEpochException | UnknownMemberIdException e) {
            say("refused", ",\"why\":\"" + e.getClass().getSimpleName() + "\"");
            return ConsumerRecords.empty();
        }
    }

    /** Reads what is there, says so and commits it. What the broker refuses is tried again, unless its partition goes. */
    private void poll() {
        StringJoiner r = new StringJoiner(",", ",\"r\":[", "]");
        boolean any = false;
        for (ConsumerRecord<String, String> c : polled()) {
            r.add("[" + c.partition() + "," + c.offset() + "," + c.value().replace(' ', ',') + "]");
            pending.put(new TopicPartition(c.topic(), c.partition()), new OffsetAndMetadata(c.offset() + 1));
            any = true;
        }
        if (any) {
            say("records", r.toString());
        }
        if (pending.isEmpty()) {
            return;
        }
        long sent = System.nanoTime();
        try {
            consumer.commitSync(Map.copyOf(pending));
        } catch (CommitFailedException | RebalanceInProgressException | TimeoutException e) {
            say("refused", ",\"why\":\"" + e.getClass().getSimpleName() + "\"");
            return;
        }
        StringJoiner o = new StringJoiner(",", ",\"s\":" + sent + ",\"o\":[", "]");
        pending.forEach((tp, at) -> o.add("[" + tp.partition() + "," + at.offset() + "]"));
        say("committed", o.toString());
        pending.clear();
    }
}
