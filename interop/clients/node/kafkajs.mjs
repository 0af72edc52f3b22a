// Produces or consumes with kafkajs, speaking the line protocol that ../README.md describes. kafkajs consumes in groups
// only, so `consume` goes through its cluster and broker objects, which make the requests and decode the batches.
import zlib from 'node:zlib'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'
import { main, print, produce, refused } from './lines.mjs'

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs
const types = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}
CompressionCodecs[types.snappy] = snappy
// The usual plugins for these two wrap native modules that no longer build.
CompressionCodecs[types.lz4] = () => ({
  compress: async encoder => lz4.compressFrameSync(encoder.buffer),
  decompress: async buffer => lz4.decompressFrameSync(buffer)
})
CompressionCodecs[types.zstd] = () => ({
  compress: async encoder => zlib.zstdCompressSync(encoder.buffer),
  decompress: async buffer => zlib.zstdDecompressSync(buffer)
})

const connect = broker => new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 8 } })

// The default partitioner, which leaves in the message where it put it.
const partitioner = () => {
  const choose = Partitioners.DefaultPartitioner()
  return args => (args.message.chosen = choose(args))
}

async function send (producer, topic, codec, acks, records) {
  const messages = records.map(r => ({ ...r, headers: Object.fromEntries(r.headers) }))
  const result = await producer.send({ topic, acks: acks === 'all' ? -1 : Number(acks), compression: types[codec], messages })
  if (acks === '0') return records.map(() => [-1, -1])
  const next = new Map(result.map(r => [r.partition, Number(r.baseOffset)]))
  return messages.map(m => {
    const offset = next.get(m.chosen)
    next.set(m.chosen, offset + 1)
    return [m.chosen, offset]
  })
}

async function consume (broker, topic) {
  const kafka = connect(broker)
  const createCluster = Object.getOwnPropertySymbols(kafka).find(s => s.description === 'private:Kafka:createCluster')
  const cluster = kafka[createCluster]({ metadataMaxAge: 300000, isolationLevel: 0 })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const partitions = cluster.findTopicPartitionMetadata(topic)
  const [ends] = await cluster.fetchTopicsOffset([
    { topic, partitions: partitions.map(p => ({ partition: p.partitionId })), fromBeginning: false }
  ])
  for (const { partition, offset } of ends.partitions) {
    const leader = partitions.find(p => p.partitionId === partition).leader
    const node = await cluster.findBroker({ nodeId: String(leader) })
    for (let next = 0; next < Number(offset);) next = await fetchFrom(node, topic, partition, next)
  }
  await cluster.disconnect()
}

async function fetchFrom (node, topic, partition, next) {
  const { responses } = await node.fetch({
    replicaId: -1, isolationLevel: 0, maxWaitTime: 500, minBytes: 1, maxBytes: 8 << 20, rackId: '',
    topics: [{ topic, partitions: [{ partition, fetchOffset: String(next), maxBytes: 1 << 20 }] }]
  })
  for (const m of responses[0].partitions[0].messages) {
    if (Number(m.offset) < next) continue // the batch begins before the offset asked for
    print(partition, m.offset, m.key, m.value, Object.entries(m.headers), m.timestamp)
    next = Number(m.offset) + 1
  }
  return next
}

await main({
  async produce (broker, topic, codec, idempotent, acks = 'all') {
    const producer = connect(broker).producer({
      createPartitioner: partitioner, idempotent: idempotent === 'true', maxInFlightRequests: 1, allowAutoTopicCreation: false
    })
    await producer.connect()
    try {
      await produce(records => send(producer, topic, codec, acks, records))
    } finally {
      await producer.disconnect()
    }
  },
  consume,
  async follow (broker, topic) {
    const consumer = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).consumer({ groupId: `follow-${topic}`, metadataMaxAge: 500 })
    consumer.on(consumer.events.CRASH, e => console.log(e.payload.error.message))
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => console.log(message.value.toString()) })
  },
  async topics (broker) {
    const admin = connect(broker).admin()
    await admin.connect()
    const { topics } = await admin.fetchTopicMetadata()
    for (const { name, partitions } of topics) console.log(`${name}\t${partitions.length}`)
    await admin.disconnect()
  },
  async transaction (broker) {
    const producer = connect(broker).producer({ transactionalId: 'refused', idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } })
    await producer.connect().then(() => refused(() => producer.transaction()), error => refused(() => { throw error }))
    await producer.disconnect()
  }
})
