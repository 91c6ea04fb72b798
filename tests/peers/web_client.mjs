// A web client: node --experimental-websocket web_client.mjs fetch|http2|websocket PORT [WEBSOCKET_URL]
//
// Asks once, by Node's own clients, and prints what it got as a line of JSON; a WebSocket sends a text and waits for it.

import http2 from 'node:http2'

const [kind, port, url = `ws://127.0.0.1:${port}/socket`] = process.argv.slice(2)

async function ask () {
  switch (kind) {
    case 'fetch': {
      const response = await fetch(`http://127.0.0.1:${port}/api`, { headers: { Accept: 'application/json' } })
      return { status: response.status, body: await response.json() }
    }
    case 'http2': {
      const session = http2.connect(`http://127.0.0.1:${port}`)
      const stream = session.request({ ':path': '/api' })
      let status, body = ''
      stream.on('response', (headers) => { status = headers[':status'] })
      for await (const piece of stream) body += piece
      session.close()
      return { status, body: JSON.parse(body) }
    }
    case 'websocket':
      return await new Promise((resolve) => {
        const socket = new WebSocket(url)
        socket.onopen = () => socket.send('hello')
        socket.onmessage = (event) => { socket.close(); resolve({ text: event.data }) }
        socket.onerror = (event) => resolve({ error: event.message ?? 'refused' })
      })
  }
}

console.log(JSON.stringify(await ask()))
process.exit(0)
