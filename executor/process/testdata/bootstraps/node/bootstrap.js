'use strict';
// Runs whatever source the test sends: {id, code} → {id, value} or {id, error}, one JSON object a line on descriptor 3.
const net = require('net');
const socket = new net.Socket({ fd: 3, readable: true, writable: true });
const AsyncFunction = Object.getPrototypeOf(async function () {}).constructor;
let rest = '';
socket.on('data', async (chunk) => {
  rest += chunk;
  let at;
  while ((at = rest.indexOf('\n')) >= 0) {
    const { id, code } = JSON.parse(rest.slice(0, at));
    rest = rest.slice(at + 1);
    let answer;
    try {
      answer = { id, value: await new AsyncFunction('require', code)(require) };
    } catch (e) {
      answer = { id, error: String(e) };
    }
    socket.write(JSON.stringify(answer) + '\n');
  }
});
socket.on('end', () => process.exit(0));
