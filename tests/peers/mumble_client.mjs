// A real Mumble client: joins, says what it was welcomed with and which channels it sees, and leaves.
// node mumble_client.mjs PORT NAME

import { Client } from '@tf2pickup-org/mumble-client';

const [port, username] = process.argv.slice(2);
const client = new Client({ host: '127.0.0.1', port: Number(port), username, rejectUnauthorized: false });
await client.connect();
console.log(JSON.stringify({ welcome: client.welcomeText, name: client.self.name, channel: client.channels.root.name }));
client.disconnect();
