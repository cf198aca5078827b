'use strict';
// Kiln's Node.js worker: boots, says so, waits for the hand-over, loads the code, then answers events one at a time.
const v8 = require('v8');
const Module = require('module');
const channel = require('./channel.js');
const errors = require('./errors.js');
const log = require('./console.js');
const stream = require('./stream.js');
const invoke = require('./invoke.js');
const { load } = require('./load.js');

// Loaded ahead, because most functions want them and the pool has the time.
for (const name of ['http', 'https', 'crypto', 'util', 'path', 'os', 'zlib', 'stream', 'events', 'buffer']) require(name);

// What is written to a pipe is in it when the call returns: else it would wait for an event loop that stands still between invocations.
for (const out of [process.stdout, process.stderr]) if (out._handle && out._handle.setBlocking) out._handle.setBlocking(true);

const BOOTED = 0x42; // B
const HAND_OVER = 0x48; // H
const LOADED = 0x4c; // L
const LOAD_FAILED = 0x46; // F
const INVOKE = 0x49; // I

function adopt(h) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, h.env);
  if (h.heapMB) v8.setFlagsFromString(`--max-old-space-size=${h.heapMB}`);
  Module._initPaths(); // NODE_PATH: layers
  process.chdir(h.task);
  log.patch(h.logFormat, h.logLevel);
  stream.install();
}

function checkSignature(handler, major) {
  if (major < invoke.FIRST_WITHOUT_CALLBACKS || handler.length < 3 || stream.isStreaming(handler)) return;
  throw errors.named('Runtime.CallbackHandlerDeprecated', 'AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.');
}

async function handOver(payload) {
  const h = JSON.parse(payload.toString('utf8'));
  const major = Number(/^nodejs(\d+)/.exec(h.runtime)?.[1] || 0);
  try {
    adopt(h);
    const handler = await load(h.task, h.handler);
    checkSignature(handler, major);
    invoke.serve({ handler, major, limit: h.limit, name: h.name, version: h.version, memory: h.memory, group: h.group, stream: h.stream }, next);
    channel.writeText(LOADED, '');
    setImmediate(next);
  } catch (e) {
    log.failure(e);
    channel.writeText(LOAD_FAILED, errors.json(e));
    process.reallyExit(1);
  }
}

function next() {
  const frame = channel.read();
  if (frame.type === INVOKE) return invoke.run(frame.payload);
  if (frame.type === HAND_OVER) return void handOver(frame.payload);
  process.reallyExit(2);
}

// rehearse loads and calls a handler of no function: V8 compiles at the first call, and this one is not on anybody's clock.
async function rehearse() {
  channel.mute(true);
  const handler = await load(__dirname, 'rehearsal.handler');
  for (const major of [22, 24]) {
    await new Promise(done => {
      invoke.serve({ handler, major, limit: 1024 }, done);
      invoke.run(invoke.payload('{"rehearsal":true}'));
    });
  }
  invoke.forget();
  channel.mute(false);
}

rehearse().then(() => {
  channel.writeText(BOOTED, '');
  next();
});
