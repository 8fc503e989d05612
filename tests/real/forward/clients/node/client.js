// Sends numbered records with @fluent-org/logger in one mode of the protocol, and waits for their acknowledgements.
//
//     node client.js HOST PORT COUNT Message|Forward|PackedForward|CompressedPackedForward [KEY [USER PASSWORD]]
const { EventTime, FluentClient } = require("@fluent-org/logger");

async function main() {
  const [host, port, count, eventMode, sharedKey, username, password] = process.argv.slice(2);
  const client = new FluentClient("node", {
    eventMode,
    ack: { ackTimeout: 30000 },
    flushInterval: 5,
    socket: { host, port: Number(port), timeout: 30000 },
    security: sharedKey && { clientHostname: "client", sharedKey, username, password },
    disconnect: { waitForPending: true },
  });
  client.socketOn("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  const sent = [];
  for (let number = 0; number < Number(count); number++) {
    sent.push(client.emit("web", { log: String(number) }, new EventTime(1700000000, number)));
  }
  await Promise.all(sent);
  await client.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
