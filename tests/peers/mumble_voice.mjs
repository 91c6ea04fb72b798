// A real Mumble client that also speaks: it joins, tells the server its UDP address with an encrypted ping, says a few
// words to itself (the server's loopback) by UDP, says what it heard, and leaves.
// node mumble_voice.mjs PORT UDP_PORT NAME
//
// Voice is encrypted by OCB2 with AES-128 (mumble-protocol.readthedocs.io, "Protocol stack (UDP)"); a packet here never
// has more than the one block that OCB2 pads.

import { createSocket } from 'node:dgram';
import { createCipheriv } from 'node:crypto';
import { on } from 'node:events';
import { Client } from '@tf2pickup-org/mumble-client';

const PING = 1 << 5;
const OPUS = 4 << 5;
const LOOPBACK = 31;
const WORDS = 20;
const CRYPT_SETUP = 15; // the message with the keys
const [port, udpPort, username] = process.argv.slice(2);

const xor = (one, other) => Buffer.from(one.map((byte, at) => byte ^ other[at]));
const doubled = (block) => {
  const number = BigInt('0x' + Buffer.from(block).toString('hex'));
  const shifted = (number << 1n) ^ (number >> 127n ? 0x87n : 0n);
  return Buffer.from(BigInt.asUintN(128, shifted).toString(16).padStart(32, '0'), 'hex');
};

class Crypt {
  constructor ({ key, clientNonce, serverNonce }) {
    this.aes = (block) => {
      const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
      return Buffer.concat([cipher.update(block), cipher.final()]);
    };
    this.mine = Buffer.from(clientNonce);
    this.theirs = Buffer.from(serverNonce);
  }

  // Returns the text for a cipher text, or the other way round, and the first bytes of its tag.
  turn (nonce, data, encrypts) {
    let delta = doubled(this.aes(nonce));
    const length = Buffer.alloc(16);
    length.writeUInt8(data.length * 8, 15);
    const pad = this.aes(xor(length, delta));
    const padded = Buffer.from(pad);
    data.copy(padded);
    const turned = xor(padded, pad).subarray(0, data.length);
    const plain = Buffer.from(pad);
    (encrypts ? data : turned).copy(plain);
    delta = xor(doubled(delta), delta);
    return { turned, tag: this.aes(xor(delta, plain)).subarray(0, 3) };
  }

  encrypt (data) {
    for (let at = 0; (this.mine[at] = (this.mine[at] + 1) & 255) === 0; at++);
    const { turned, tag } = this.turn(this.mine, data, true);
    return Buffer.concat([this.mine.subarray(0, 1), tag, turned]);
  }

  decrypt (packet) { // in order, none lost
    for (let at = 0; (this.theirs[at] = (this.theirs[at] + 1) & 255) === 0; at++);
    const { turned, tag } = this.turn(this.theirs, packet.subarray(4), false);
    if (packet[0] !== this.theirs[0] || !tag.equals(packet.subarray(1, 4))) throw new Error('a packet is forged or lost');
    return turned;
  }
}

let crypt;
const client = new Client({ host: '127.0.0.1', port: Number(port), username, rejectUnauthorized: false });
client.on('socketConnect', (socket) => socket.packet.subscribe(({ type, payload }) => {
  if (type === CRYPT_SETUP) crypt = new Crypt(payload);
}));
await client.connect();
const udp = createSocket('udp4');
await new Promise((resolve) => udp.connect(Number(udpPort), '127.0.0.1', resolve));
const messages = on(udp, 'message');
const send = (packet) => udp.send(crypt.encrypt(Buffer.from(packet)));
const next = async (kind) => {
  for (;;) {
    const { value: [packet] } = await messages.next();
    const text = crypt.decrypt(packet);
    if (text[0] >> 5 === kind >> 5) return [...text];
  }
};

// As its own client does, it asks again until it is answered.
const again = setInterval(() => send([PING, 7]), 200);
const ping = await next(PING);
clearInterval(again);
const heard = [];
for (let sequence = 0; sequence < WORDS; sequence++) {
  send([OPUS | LOOPBACK, sequence, 3, 0xf8, 0xff, sequence]);
  const [, session, number, length, ...opus] = await next(OPUS);
  heard.push(session === client.session && length === 3 && number === opus[2] ? number : null);
}
console.log(JSON.stringify({ name: client.self.name, ping, heard }));
udp.close();
client.disconnect();
