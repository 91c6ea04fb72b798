// A web server that takes its time to start: node web_server.mjs PORT SECONDS [--http2 | --name NAME [--tls FILE]]
//
// It answers each request with what it has received, as JSON, and sends back each text that it gets by a WebSocket.
// With --http2 it speaks HTTP/2 without TLS, and nothing else. With --tls it speaks HTTP/1.1 and HTTP/2 over TLS, with
// the certificate and the key of the file, and with --name it also answers who it is and what TLS has negotiated.

import { createHash } from 'node:crypto'
import http from 'node:http'
import http2 from 'node:http2'
import { readFileSync } from 'node:fs'

const [port, seconds, version, name, , file] = process.argv.slice(2)
const server = version === '--http2'
  ? http2.createServer()
  : file
    ? http2.createSecureServer({ allowHTTP1: true, cert: readFileSync(file), key: readFileSync(file) })
    : http.createServer()

function about (request) {
  if (version !== '--name') return {}
  const { alpnProtocol, servername } = request.stream?.session?.socket ?? request.socket
  return { name, http: request.httpVersion, host: request.headers.host ?? request.authority, alpnProtocol, servername }
}

server.on('request', (request, response) => {
  const hash = createHash('sha256')
  request.on('data', (piece) => hash.update(piece))
  request.on('end', () => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    const received = { method: request.method, url: request.url, sha256: hash.digest('hex') }
    response.end(JSON.stringify({ ...received, ...about(request) }))
  })
})

// RFC 6455, for whole frames of less than 126 bytes
server.on('upgrade', (request, socket) => {
  const accepted = createHash('sha1')
    .update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    `Sec-WebSocket-Accept: ${accepted}\r\n\r\n`)
  socket.on('data', (frame) => {
    const length = frame[1] & 0x7f
    const text = frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + at % 4])
    socket.write(Buffer.concat([Buffer.from([frame[0], length]), text]))
    if ((frame[0] & 0x0f) === 8) socket.end()
  })
  socket.on('error', () => {})
})

process.on('SIGTERM', () => process.exit(0))
setTimeout(() => server.listen(port, '127.0.0.1'), seconds * 1000)
