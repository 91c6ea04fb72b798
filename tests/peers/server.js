'use strict'
// A real Minecraft server in offline mode, on loopback, for zeroscale to start and stop.
//
//   node server.js --engine flying-squid|minecraft-protocol --version V --port P
//                  [--start-delay SECONDS] [--stop-delay SECONDS] [--record FILE]
//
// Prints "Server listening on port P" once it listens. Ends with 0 on `stop` on its stdin, 143 on SIGTERM, 130 on
// SIGINT; with --stop-delay (minecraft-protocol only) so long after it was told to. With --record, appends a JSON
// line to FILE for all that a connection shows the server: its bytes as they come (hex, the first 64 KiB of each
// connection), the packets its own parser makes of them, and the first moment at which the server itself says
// something; and one for its own start and for its exit code.

const fs = require('fs')
const readline = require('readline')
const { parseArgs } = require('util')
const { Server } = require('minecraft-protocol')

const MOST_BYTES_RECORDED = 64 * 1024

const { values: options } = parseArgs({
  options: {
    engine: { type: 'string', default: 'minecraft-protocol' },
    version: { type: 'string' },
    port: { type: 'string' },
    'start-delay': { type: 'string', default: '0' },
    'stop-delay': { type: 'string', default: '0' },
    record: { type: 'string' }
  }
})
const port = Number(options.port)

function record (line) {
  fs.appendFileSync(options.record, JSON.stringify({ at: Date.now() / 1000, ...line }) + '\n')
}

function recordConnection (client) {
  const connection = client.id
  let bytes = 0
  record({ connection, event: 'opened' })
  client.socket.prependListener('data', (chunk) => {
    const rest = chunk.subarray(0, Math.max(0, MOST_BYTES_RECORDED - bytes))
    bytes += chunk.length
    if (rest.length > 0) record({ connection, event: 'bytes', hex: rest.toString('hex') })
  })
  client.on('packet', (data, meta) => {
    const intent = meta.name === 'set_protocol' ? data.nextState : undefined
    const player = meta.name === 'login_start' ? data.username : undefined
    record({ connection, event: 'packet', state: meta.state, name: meta.name, intent, player })
  })
  client.framer.once('data', () => record({ connection, event: 'first_reply' }))
  client.on('end', () => record({ connection, event: 'closed', bytes }))
}

function serveFlyingSquid () {
  // Its own console takes `stop`, and its own exit hook makes 143 of SIGTERM.
  // It would listen before it takes players, whom it would kick, and give up where it needs more than 5 s to start.
  let listen
  const original = Server.prototype.listen
  Server.prototype.listen = function (...address) {
    listen = () => original.apply(this, address)
  }
  process.on('unhandledRejection', (error) => {
    if (!/^Timeout waiting for '(pluginsReady|listening)'/.test(error.message)) fail(error)
  })
  const server = require('flying-squid').createMCServer({
    host: '127.0.0.1',
    port,
    version: options.version,
    motd: `flying-squid ${options.version}`,
    'online-mode': false,
    'max-players': 10,
    logging: false,
    gameMode: 1,
    difficulty: 1,
    worldFolder: 'world',
    generation: { name: 'superflat', options: {} },
    kickTimeout: 10000,
    plugins: {},
    modpe: false,
    'view-distance': 2,
    'player-list-text': { header: { text: '' }, footer: { text: '' } },
    'everybody-op': false,
    'max-entities': 100
  })
  server.on('error', fail)
  server.once('pluginsReady', () => listen())
  if (options.record) server._server.on('connection', recordConnection)
}

function serveMinecraftProtocol () {
  const server = require('minecraft-protocol').createServer({
    host: '127.0.0.1',
    port,
    version: options.version,
    motd: `minecraft-protocol ${options.version}`,
    'online-mode': false,
    maxPlayers: 10,
    hideErrors: true
  })
  const { loginPacket } = require('minecraft-data')(options.version)
  if (options.record) server.on('connection', recordConnection)
  server.on('playerJoin', (client) => {
    console.log(`${client.username} joined`)
    client.on('end', () => console.log(`${client.username} left`))
    client.write('login', {
      ...loginPacket,
      entityId: client.id,
      isHardcore: false,
      gameMode: 0,
      previousGameMode: 1,
      hashedSeed: [0, 0],
      difficulty: 1,
      levelType: 'default',
      maxPlayers: server.maxPlayers,
      viewDistance: 2,
      reducedDebugInfo: false,
      enableRespawnScreen: true,
      enforcesSecureChat: false,
      isDebug: false,
      isFlat: true
    })
  })
  server.on('error', fail)
  server.on('listening', () => console.log(`Server listening on port ${port}`))

  const end = (code) => {
    console.log('Stopping the server')
    const last = Number(options['stop-delay']) * 1000
    server.on('close', () => setTimeout(() => process.exit(code), last))
    server.close()
    setTimeout(() => process.exit(code), last + 2000) // a client that does not close its half
  }
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    if (line.trim() === 'stop') end(0)
  })
  process.on('SIGTERM', () => end(143))
  process.on('SIGINT', () => end(130))
}

function fail (error) {
  console.error(error)
  process.exit(1)
}

if (options.record) {
  record({ event: 'started' })
  process.on('exit', (code) => record({ event: 'exited', code }))
}

function start () {
  if (options.engine === 'flying-squid') serveFlyingSquid()
  else serveMinecraftProtocol()
}

const delay = Number(options['start-delay']) * 1000
if (delay === 0) {
  start()
} else {
  const waiting = readline.createInterface({ input: process.stdin })
  const ends = [['SIGTERM', 143], ['SIGINT', 130]].map(([signal, code]) => {
    const end = () => process.exit(code)
    process.on(signal, end)
    return () => process.off(signal, end)
  })
  waiting.on('line', (line) => {
    if (line.trim() === 'stop') process.exit(0)
  })
  console.log(`Loading the world, which takes ${options['start-delay']} s`)
  setTimeout(() => {
    for (const forget of ends) forget()
    waiting.close()
    start()
  }, delay)
}
