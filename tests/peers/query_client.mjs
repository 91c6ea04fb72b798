// Asks a server as server browsers do, with gamedig, and prints what it understood.
//
//   node query_client.mjs valve|quake3|gamespy3 PORT

import { GameDig } from 'gamedig'

const [protocol, port] = process.argv.slice(2)
try {
  const found = await GameDig.query({
    host: '127.0.0.1',
    port: Number(port),
    givenPortOnly: true,
    requestRules: true,
    maxRetries: 3,
    type: `protocol-${protocol}`
  })
  console.log(JSON.stringify({
    name: found.name,
    map: found.map,
    maximum: Number(found.maxplayers),
    online: found.numplayers,
    players: found.players.map(({ name }) => name),
    rules: found.raw.rules ?? null
  }))
} catch (error) {
  console.error(String(error))
  process.exitCode = 1
}
process.exit()
