// The line protocol that ../README.md describes, for the Node.js clients.
import { createInterface } from 'node:readline'

const decode = field => (field === '-' ? null : Buffer.from(field, 'hex'))
const encode = bytes => (bytes == null ? '-' : bytes.toString('hex'))

// parse returns the record that a line stands for; headers is an array of [name, Buffer].
function parse (line) {
  const [key, value, headers, timestamp] = line.split('\t')
  const pairs = headers.split(';').filter(Boolean).map(h => {
    const eq = h.indexOf('=')
    return [h.slice(0, eq), Buffer.from(h.slice(eq + 1), 'hex')]
  })
  return { key: decode(key), value: decode(value), headers: pairs, timestamp }
}

// A send holds at most this many records and bytes, below what a batch may have.
const maxRecords = 500
const maxBytes = 64 << 10

// produce calls send, which answers [partition, offset] for each record, with the records of standard input.
export async function produce (send) {
  let records = []
  let bytes = 0
  const flush = async () => {
    if (records.length > 0) {
      const stored = await send(records)
      process.stdout.write(stored.map(([p, o]) => `${p}\t${o}\n`).join(''))
    }
    records = []
    bytes = 0
  }
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    if (line === '') {
      await flush()
      continue
    }
    if (records.length >= maxRecords || (records.length > 0 && bytes + line.length / 2 > maxBytes)) await flush()
    records.push(parse(line))
    bytes += line.length / 2
  }
  await flush()
}

// print writes one record that was read; headers is an array of [name, Buffer].
export function print (partition, offset, key, value, headers, timestamp) {
  const h = headers.map(([k, v]) => `${k}=${v == null ? '' : v.toString('hex')}`).join(';')
  process.stdout.write(`${partition}\t${offset}\t${encode(key)}\t${encode(value)}\t${h}\t${timestamp}\n`)
}

// main runs one of the commands and reports what it failed with.
export async function main (commands) {
  const [command, ...args] = process.argv.slice(2)
  try {
    await commands[command](...args)
  } catch (error) {
    console.error(error)
    for (const cause of error.errors ?? []) console.error(cause)
    process.exit(1) // standard input may still be open
  }
}

// refused prints the error of a transactional producer, which the broker must refuse.
export async function refused (start) {
  try {
    await start()
  } catch (error) {
    const all = [error, ...(error.errors ?? []), error.cause].filter(Boolean)
    console.log(all.map(e => `${e.type ?? e.apiId ?? e.code ?? ''} ${e.message}`).join(' / ').replaceAll('\n', ' '))
    return
  }
  throw new Error('a transactional id was accepted')
}
