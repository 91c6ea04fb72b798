'use strict'
// Asks a server for its status with minecraft-server-util, in one of its dialects, and prints what it understood.
//
//   node status_client.js status|statusFE01FA|statusFE01|statusFE|statusLegacy PORT

const util = require('minecraft-server-util')

const [dialect, port] = process.argv.slice(2)
util[dialect]('127.0.0.1', Number(port), { timeout: 5000, enableSRV: false }).then(({ motd, players, version }) => {
  console.log(JSON.stringify({
    motd: motd.clean ?? motd,
    online: players.online,
    maximum: players.max,
    version: version?.name ?? version ?? null
  }))
}).catch((error) => {
  console.error(String(error))
  process.exitCode = 1
})
