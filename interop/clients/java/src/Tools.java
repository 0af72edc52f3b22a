import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.Exit;

/** Runs Kafka's tools one after the other in one process, and holds the group members that the tools look at; ../../README.md has the commands. */
public final class Tools {
    private static ByteArrayOutputStream said;
    private static Ended ended; // by the tool under way; null: not by a call to exit

    private final String bootstrap;
    private final Map<String, Member> members = new HashMap<>();

    private Tools(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> {
            if (ended == null) { // some mains catch what is thrown here, print it and end with another status
                ended = new Ended(status, said.size());
            }
            throw ended;
        });
        Tools tools = new Tools(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            said = new ByteArrayOutputStream();
            ended = null;
            System.setOut(new PrintStream(said, true));
            System.setErr(System.out);
            int status = 1;
            try {
                status = tools.execute(line.split("\t"));
            } catch (Exception e) {
                e.printStackTrace();
            }
            answers.write(said.toByteArray(), 0, ended == null ? said.size() : ended.said);
            answers.println("--status " + status);
            answers.flush();
        }
        for (Member member : tools.members.values()) {
            member.close();
        }
    }

    private int execute(String[] words) throws Exception {
        switch (words[0]) {
            case "join" -> members.put(words[1], new Member(consumer(words[1], words[2], words[3]), words[4]));
            case "leave" -> members.remove(words[1]).close();
            case "commit" -> commit(words[1], words[2], Integer.parseInt(words[3]), Long.parseLong(words[4]), words[5]);
            default -> {
                return run(words[0], Arrays.copyOfRange(words, 1, words.length));
            }
        }
        return 0;
    }

    /** Runs one tool by its own main and returns its exit status. */
    private static int run(String tool, String[] args) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (ended == null) {
                throw e;
            }
        }
        return ended == null ? 0 : ended.status;
    }

    private KafkaConsumer<String, String> consumer(String name, String group, String protocol) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("client.id", name);
        p.put("group.id", group);
        p.put("group.protocol", protocol);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        if (protocol.equals("classic")) {
            p.put("heartbeat.interval.ms", "300"); // the other protocol's is the broker's to say
        }
        if (name.startsWith("static-")) {
            p.put("group.instance.id", name);
        }
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    private void commit(String group, String topic, int partition, long offset, String metadata) {
        try (KafkaConsumer<String, String> consumer = consumer("committer", group, "classic")) {
            consumer.commitSync(Map.of(new TopicPartition(topic, partition), new OffsetAndMetadata(offset, metadata)));
        }
    }

    /** What a tool's call to exit becomes. */
    private static final class Ended extends RuntimeException {
        final int status;
        final int said; // bytes that were printed before

        Ended(int status, int said) {
            this.status = status;
            this.said = said;
        }
    }

    /** One consumer that polls, and commits nothing, until it is closed. */
    private static final class Member implements ConsumerRebalanceListener, AutoCloseable {
        private final KafkaConsumer<String, String> consumer;
        private final Thread thread;
        private final CountDownLatch assigned = new CountDownLatch(1);

        /** Returns once the member has been given partitions. */
        Member(KafkaConsumer<String, String> consumer, String topic) throws InterruptedException {
            this.consumer = consumer;
            consumer.subscribe(List.of(topic), this);
            thread = new Thread(this::poll);
            thread.setDaemon(true);
            thread.start();
            if (!assigned.await(30, TimeUnit.SECONDS)) {
                throw new IllegalStateException("no partitions within 30 s");
            }
        }

        private void poll() {
            try {
                while (true) {
                    consumer.poll(Duration.ofSeconds(1));
                }
            } catch (WakeupException e) {
                consumer.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            if (!partitions.isEmpty()) {
                assigned.countDown();
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        }

        @Override
        public void close() throws InterruptedException {
            consumer.wakeup();
            thread.join();
        }
    }
}
