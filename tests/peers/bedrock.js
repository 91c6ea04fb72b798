'use strict'
// Real Bedrock servers and clients, in offline mode.
//
//   node bedrock.js server --port P --version V [--java-port P --java-version V]
//   node bedrock.js clients
//
// A server sends each client that joins 8 KiB, as of a world; with --java-port it is a Minecraft Java server as well, in the
// same process. SIGTERM ends it. (With jsp-raknet, a server closes its port when its first client leaves.)
//
// `clients` reads a JSON line for each client on stdin, with its `id`, `port`, `version`, and perhaps `name`, `backend`
// (raknet-native, the default, or jsp-raknet) and `follow` (ping first, and connect to the port that the pong names), or
// with `id` and `quit`. It prints a JSON line for each event: joined, world (it has got those 8 KiB), kicked, closed,
// error. It ends with stdin.

const crypto = require('crypto')
const readline = require('readline')
const { parseArgs } = require('util')
const bedrock = require('bedrock-protocol')

const WORLD = 8192

function tell (event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
}

function text (message) {
  return {
    needs_translation: false,
    category: 'message_only',
    raw: '',
    tip: '',
    system_message: '',
    object_whisper: '',
    object_announcement: '',
    object: '',
    type: 'raw',
    message,
    xuid: '',
    platform_chat_id: '',
    has_filtered_message: false,
    filtered_message: ''
  }
}

function serve () {
  const { values: options } = parseArgs({
    args: process.argv.slice(3),
    options: {
      port: { type: 'string' },
      version: { type: 'string' },
      'java-port': { type: 'string' },
      'java-version': { type: 'string' }
    }
  })
  const server = bedrock.createServer({
    host: '127.0.0.1',
    port: Number(options.port),
    version: options.version,
    raknetBackend: 'raknet-native',
    offline: true,
    maxPlayers: 7,
    motd: { motd: 'A Bedrock server', levelName: 'a level' }
  })
  server.on('connect', client => {
    client.on('join', () => {
      tell('joined', { name: client.getUserData().displayName })
      client.write('text', text(crypto.randomBytes(WORLD).toString('base64').slice(0, 2 * WORLD)))
    })
    client.on('close', () => tell('left'))
    client.on('error', error => tell('error', { message: String(error) }))
  })
  if (options['java-port']) serveJava(Number(options['java-port']), options['java-version'])
  process.on('SIGTERM', () => process.exit(0))
}

function serveJava (port, version) {
  const server = require('minecraft-protocol').createServer({
    'online-mode': false, host: '127.0.0.1', port, version, motd: 'A Java server'
  })
  const { loginPacket } = require('minecraft-data')(version)
  server.on('playerJoin', client => {
    client.write('login', { ...loginPacket, entityId: client.id })
  })
}

const clients = new Map()

function join ({ id, port, version, name = 'Steve', backend = 'raknet-native', follow = false }) {
  const client = bedrock.createClient({
    host: '127.0.0.1',
    port,
    username: name,
    version,
    raknetBackend: backend,
    useRaknetWorkers: false,
    offline: true,
    skipPing: !follow,
    conLog: null
  })
  clients.set(id, client)
  client.on('join', () => tell('joined', { id }))
  client.on('text', packet => { if (packet.message.length >= WORLD) tell('world', { id }) })
  client.on('kick', packet => tell('kicked', { id, message: packet.message }))
  client.on('error', error => tell('error', { id, message: String(error) }))
  client.on('close', () => tell('closed', { id }))
}

function joinAll () {
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', line => {
    const command = JSON.parse(line)
    if (command.quit) clients.get(command.id).close()
    else join(command)
  })
  lines.on('close', () => process.exit(0))
  tell('ready')
}

if (process.argv[2] === 'server') serve()
else joinAll()
