'use strict';
// One invocation: the context object, the ways in which handlers answer, and what becomes of stray errors.
const channel = require('./channel.js');
const errors = require('./errors.js');
const log = require('./console.js');
const stream = require('./stream.js');

const RESPONSE = 0x52; // R
const ERROR = 0x45; // E
const LAST_ERROR = 0x58; // X: an error after which this worker ends
const LOAD_FAILED = 0x46; // F
const FIRST_WITHOUT_CALLBACKS = 24;

let fn; // the handed-over function: {handler, major, limit, name, version, memory, group, stream}
let next; // waits for the next frame
let current = null; // the invocation that has not been answered
let hinted = false;
let trace; // of the current invocation

// The trace id is an inherited property of process.env: a value that is set there itself goes to the C library, which keeps every value
// that it was ever given. Reading it, "in" and child processes see it as before.
Object.setPrototypeOf(process.env, Object.create(Object.getPrototypeOf(process.env), {
  _X_AMZN_TRACE_ID: { get: () => trace, enumerable: true, configurable: true },
}));

class Invocation {
  constructor(payload) {
    let at = 8;
    const text = () => {
      const n = payload.readUInt16BE(at);
      const s = payload.utf8Slice(at + 2, at + 2 + n);
      at += 2 + n;
      return s;
    };
    this.deadline = payload.readDoubleBE(0);
    this.id = text();
    this.arn = text();
    this.trace = text();
    this.clientContext = text();
    this.body = payload.utf8Slice(at, payload.length);
    this.waits = true; // callbackWaitsForEmptyEventLoop
    this.onEmpty = null;
    this.out = null;
    this.isAsync = false;
  }
}

function open(inv) {
  return current === inv;
}

// settle answers once; what comes later is ignored, as on AWS.
function settle(inv, send) {
  if (!open(inv)) return;
  current = null;
  send();
  setImmediate(next);
}

function sendError(type, error) {
  log.failure(error);
  channel.writeText(type, errors.json(error));
}

function fail(inv, error) {
  const e = error === undefined || error === null ? 'handled' : error;
  settle(inv, () => {
    if (!inv.out) return sendError(ERROR, e);
    log.failure(e);
    inv.out.finish(errors.json(e));
  });
}

function encode(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) || 'null';
  } catch (e) {
    throw errors.named('Runtime.MarshalError', `Unable to stringify response body: ${e.message}`, `Runtime.MarshalError: ${e.stack}`);
  }
}

function succeed(inv, result) {
  if (inv.out) return settle(inv, () => inv.out.finish(''));
  let text;
  try {
    text = encode(result);
    if (text.length * 3 > fn.limit && Buffer.byteLength(text) > fn.limit) {
      throw errors.named('Function.ResponseSizeTooLarge', `Response payload size exceeded maximum allowed payload size (${fn.limit} bytes).`);
    }
  } catch (e) {
    return fail(inv, e);
  }
  settle(inv, () => channel.writeText(RESPONSE, text));
}

function callbackOf(inv) {
  return (error, result) => {
    if (error !== undefined && error !== null) return fail(inv, error);
    if (!inv.waits) return succeed(inv, result);
    inv.onEmpty = () => succeed(inv, result);
  };
}

class Context {
  #inv;

  constructor(inv) {
    this.#inv = inv;
    this.functionVersion = fn.version;
    this.functionName = fn.name;
    this.memoryLimitInMB = fn.memory;
    this.logGroupName = fn.group;
    this.logStreamName = fn.stream;
    this.clientContext = inv.clientContext === '' ? undefined : JSON.parse(inv.clientContext);
    this.identity = undefined;
    this.invokedFunctionArn = inv.arn;
    this.awsRequestId = inv.id;
    this.getRemainingTimeInMillis = () => Math.max(0, Math.floor(inv.deadline - Date.now()));
    if (fn.major < FIRST_WITHOUT_CALLBACKS) {
      this.done = (error, result) => (error === undefined || error === null ? succeed(inv, result) : fail(inv, error));
      this.succeed = result => succeed(inv, result);
      this.fail = error => fail(inv, error);
    }
  }

  get callbackWaitsForEmptyEventLoop() {
    return this.#inv.waits;
  }

  set callbackWaitsForEmptyEventLoop(value) {
    this.#inv.waits = Boolean(value);
  }
}

function callStreaming(inv, event, context) {
  inv.out = new stream.ResponseStream();
  inv.isAsync = true;
  inv.out.on('finish', () => succeed(inv));
  inv.out.on('error', e => fail(inv, e));
  const done = () => (inv.out.writableEnded ? undefined : inv.out.end());
  Promise.resolve(fn.handler(event, inv.out, context)).then(done, e => fail(inv, e));
}

function callPlain(inv, event, context) {
  const result = fn.major < FIRST_WITHOUT_CALLBACKS ? fn.handler(event, context, callbackOf(inv)) : fn.handler(event, context);
  if (result && typeof result.then === 'function') {
    inv.isAsync = true;
    result.then(value => succeed(inv, value), e => fail(inv, e));
    return;
  }
  if (fn.major >= FIRST_WITHOUT_CALLBACKS) return succeed(inv, result);
  if (result !== undefined && !hinted) {
    hinted = true;
    log.hint('The handler returned a value but is not async, so the answer is null unless it calls back. Write "async" before the function.');
  }
}

function run(payload) {
  const inv = new Invocation(payload);
  current = inv;
  log.setRequest(inv.id);
  trace = inv.trace || undefined;
  try {
    const event = JSON.parse(inv.body);
    inv.body = '';
    const context = new Context(inv);
    if (stream.isStreaming(fn.handler)) callStreaming(inv, event, context);
    else callPlain(inv, event, context);
  } catch (e) {
    fail(inv, e);
  }
}

// The loop is empty and nobody answered: a callback's answer waits for this moment, else the function will never answer.
process.on('beforeExit', () => {
  const inv = current;
  if (!inv) return;
  if (inv.onEmpty) return inv.onEmpty();
  if (!inv.isAsync) return succeed(inv, null);
  fail(inv, errors.named('Runtime.NodeJsExit', 'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#exit-codes'));
});

// stray ends the worker: its state is unknown after an error that nobody caught.
function stray(error, code) {
  if (current) {
    const inv = current;
    current = null;
    if (inv.out && inv.out.started) {
      log.failure(error);
      inv.out.finish(errors.json(error));
    } else {
      sendError(LAST_ERROR, error);
    }
  } else if (fn) {
    log.failure(error);
  } else {
    sendError(LOAD_FAILED, error);
  }
  process.reallyExit(code);
}

process.on('uncaughtException', e => stray(e, 129));
process.on('unhandledRejection', reason => {
  const message = errors.isError(reason) ? `${reason.name}: ${reason.message}` : errors.shape(reason).errorMessage;
  const e = errors.named('Runtime.UnhandledPromiseRejection', message, `Runtime.UnhandledPromiseRejection: ${errors.isError(reason) ? reason.stack : message}`);
  stray(e, 128);
});

// serve makes the handed-over function the one that run calls; waitNext is called after every answer.
function serve(handed, waitNext) {
  fn = handed;
  next = waitNext;
}

// forget makes the worker nobody's again, after a rehearsal.
function forget() {
  fn = next = trace = undefined;
  log.setRequest(undefined);
}

// payload is an invoke frame's, with empty texts.
function payload(event) {
  return Buffer.concat([Buffer.alloc(16), Buffer.from(event)]); // deadline, four lengths of 0
}

module.exports = { serve, run, forget, payload, FIRST_WITHOUT_CALLBACKS };
