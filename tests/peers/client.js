'use strict'
// A real Minecraft client in offline mode, told what to do and telling what happens to it.
//
//   node client.js --version V --port P --name N [--fake-host HOST] [--from ADDRESS]
//                  [--header ADDRESS] [--idle-timeout MS] [--stay MS] [--ping]
//
// Prints a JSON line for each event, with `at` in seconds since it began: connected, held (a Login Plugin
// Request, answered by the library), login_success, joined (the play state's login packet), keep_alive, kicked,
// idle_timeout, ended, error; with --ping one `status` instead. Leaves at `quit` on stdin, when stdin ends, or
// --stay milliseconds after it joined. --fake-host is what its handshake names as the server's host, --from the local
// address that it connects from, --header the one that a PROXY header names, as if a proxy were between.
// Exits with 0 unless the connection failed.
//
// The library has no read time-out of its own; --idle-timeout stands for the game's (30 s from 1.8 on).

const net = require('net')
const readline = require('readline')
const { parseArgs } = require('util')
const protocol = require('minecraft-protocol')

const { values: options } = parseArgs({
  options: {
    version: { type: 'string' },
    port: { type: 'string' },
    name: { type: 'string', default: 'Steve' },
    'idle-timeout': { type: 'string', default: '30000' },
    stay: { type: 'string' },
    'fake-host': { type: 'string' },
    from: { type: 'string' },
    header: { type: 'string' },
    ping: { type: 'boolean', default: false }
  }
})
const address = { host: '127.0.0.1', port: Number(options.port), version: options.version }
const began = process.hrtime.bigint()

function tell (event, fields = {}) {
  const at = Number(process.hrtime.bigint() - began) / 1e9
  process.stdout.write(JSON.stringify({ event, at, ...fields }) + '\n')
}

async function ping () {
  try {
    tell('status', { reply: await protocol.ping({ ...address, closeTimeout: 10000 }) })
  } catch (error) {
    tell('error', { message: String(error) })
    process.exitCode = 1
  }
}

function connect (client) {
  const socket = net.connect({ host: address.host, port: address.port, localAddress: options.from })
  if (options.header) {
    socket.on('connect', () => socket.write(`PROXY TCP4 ${options.header} 192.0.2.1 ${socket.localPort} 25565\r\n`))
  }
  client.setSocket(socket)
}

function join () {
  const client = protocol.createClient({
    ...address,
    username: options.name,
    auth: 'offline',
    hideErrors: true,
    keepAlive: true,
    fakeHost: options['fake-host'],
    ...((options.from || options.header) && { connect })
  })
  let timer
  const rewind = () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      tell('idle_timeout')
      client.socket.destroy()
    }, Number(options['idle-timeout']))
  }
  const leave = () => {
    client.end('quit')
    setTimeout(() => process.exit(), 1000).unref()
  }
  client.socket.on('data', rewind)
  client.on('connect', () => {
    rewind()
    tell('connected')
  })
  client.on('login_plugin_request', ({ messageId, channel }) => tell('held', { id: messageId, channel }))
  client.on('success', () => tell('login_success'))
  client.on('login', () => {
    tell('joined')
    if (options.stay) setTimeout(leave, Number(options.stay))
  })
  client.on('keep_alive', () => tell('keep_alive', { state: client.state }))
  for (const name of ['disconnect', 'kick_disconnect']) {
    client.on(name, ({ reason }) => tell('kicked', { state: client.state, reason }))
  }
  client.on('error', (error) => {
    tell('error', { message: String(error) })
    process.exitCode = 1
  })
  client.on('end', (reason) => {
    clearTimeout(timer)
    tell('ended', { reason: String(reason) })
    process.stdin.destroy()
    client.socket.destroy()
    setTimeout(() => process.exit(), 100).unref()
  })
  const commands = readline.createInterface({ input: process.stdin })
  commands.on('line', (line) => {
    if (line.trim() === 'quit') leave()
  })
  commands.on('close', leave)
}

if (options.ping) ping()
else join()
