// Produces or consumes with @platformatic/kafka, speaking the line protocol that ../README.md describes. Its streams need a
// group, so `consume` uses the consumer's own fetch.
import { Admin, Consumer, Producer, compatibilityPartitioner } from '@platformatic/kafka'
import { main, print, produce, refused } from './lines.mjs'

const base = broker => ({ clientId: 'interop', bootstrapBrokers: [broker], retries: 8, retryDelay: 250 })
const acksOf = { 0: 0, 1: 1, all: -1 }

async function partitionCount (client, topic) {
  const metadata = await client.metadata({ topics: [topic], forceUpdate: true })
  return metadata.topics.get(topic).partitionsCount
}

async function send (producer, count, topic, options, records) {
  const messages = records.map((r, i) => ({
    topic,
    key: r.key ?? undefined,
    value: r.value,
    headers: new Map(r.headers.map(([k, v]) => [Buffer.from(k), v])),
    timestamp: BigInt(r.timestamp),
    partition: r.key == null ? i % count : compatibilityPartitioner(null, r.key) % count
  }))
  const result = await producer.send({ messages, ...options })
  if (options.acks === 0) return records.map(() => [-1, -1])
  const next = new Map(result.offsets.map(o => [o.partition, Number(o.offset)]))
  return messages.map(m => {
    const offset = next.get(m.partition)
    next.set(m.partition, offset + 1)
    return [m.partition, offset]
  })
}

async function consume (broker, topic) {
  const consumer = new Consumer({ ...base(broker), groupId: 'unused' })
  const metadata = await consumer.metadata({ topics: [topic] })
  const { id, partitions } = metadata.topics.get(topic)
  const ends = (await consumer.listOffsets({ topics: [topic], timestamp: -1n })).get(topic)
  for (const [partition, { leader }] of Object.entries(partitions)) {
    const end = ends[partition]
    for (let next = 0n; next < end;) next = await fetchFrom(consumer, leader, id, Number(partition), next)
  }
  await consumer.close(true)
}

async function fetchFrom (consumer, node, topicId, partition, next) {
  const { responses } = await consumer.fetch({
    node, minBytes: 1, maxBytes: 8 << 20, maxWaitTime: 500,
    topics: [{ topicId, partitions: [{ partition, currentLeaderEpoch: -1, fetchOffset: next, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 20 }] }]
  })
  for (const batch of responses[0].partitions[0].records ?? []) {
    for (const r of batch.records) {
      const offset = batch.firstOffset + BigInt(r.offsetDelta)
      if (offset < next) continue // the batch begins before the offset asked for
      print(partition, offset, r.key, r.value, r.headers.map(([k, v]) => [k.toString(), v]), batch.firstTimestamp + r.timestampDelta)
      next = offset + 1n
    }
  }
  return next
}

await main({
  async produce (broker, topic, codec, idempotent, acks = 'all') {
    const producer = new Producer(base(broker))
    const options = { acks: acksOf[acks], compression: codec, idempotent: idempotent === 'true', autocreateTopics: false }
    try {
      const count = await partitionCount(producer, topic)
      await produce(records => send(producer, count, topic, options, records))
    } finally {
      await producer.close()
    }
  },
  consume,
  async follow (broker, topic) {
    const consumer = new Consumer({ ...base(broker), groupId: `follow-${topic}`, metadataMaxAge: 500 })
    try {
      for await (const message of await consumer.consume({ topics: [topic], mode: 'earliest' })) console.log(message.value.toString())
    } catch (error) { // whatever the client makes of a topic that is gone
      console.log([error, ...(error.errors ?? [])].map(e => e.message).join(' / ').replaceAll('\n', ' '))
    }
    setInterval(() => {}, 1000) // until it is killed
  },
  async topics (broker) {
    const admin = new Admin(base(broker))
    const metadata = await admin.metadata({ topics: await admin.listTopics() })
    for (const [name, { partitionsCount }] of metadata.topics) console.log(`${name}\t${partitionsCount}`)
    await admin.close()
  },
  async transaction (broker) {
    const producer = new Producer({ ...base(broker), retries: 1, idempotent: true, transactionalId: 'refused' })
    await refused(() => producer.beginTransaction())
    await producer.close()
  }
})
