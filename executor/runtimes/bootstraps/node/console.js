'use strict';
// console and process.std*: console records carry their level; what is written past console stays on stdout and stderr.
const util = require('util');
const channel = require('./channel.js');
const errors = require('./errors.js');

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const METHODS = { log: 'INFO', info: 'INFO', debug: 'DEBUG', trace: 'TRACE', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };

let requestId;
let asJSON = false;
let least = 0;

function setRequest(id) {
  requestId = id;
}

function jsonLine(level, args) {
  const line = { timestamp: new Date().toISOString(), level, requestId };
  const failure = args.find(errors.isError);
  if (args.length === 1 && !failure) {
    line.message = args[0];
    try {
      return JSON.stringify(line);
    } catch {
      line.message = util.format(args[0]); // a cycle or a BigInt
      return JSON.stringify(line);
    }
  }
  line.message = util.format(...args);
  if (failure) {
    const s = errors.shape(failure);
    Object.assign(line, { errorType: s.errorType, errorMessage: s.errorMessage, stackTrace: s.trace });
    if (args.length === 1) delete line.message;
  }
  return JSON.stringify(line);
}

function emit(level, args) {
  const n = LEVELS[level];
  if (n < least) return;
  if (asJSON) return channel.log(n, 0, jsonLine(level, args));
  channel.log(n, 0, args.length === 1 && typeof args[0] === 'string' ? args[0] : util.format(...args));
}

// patch routes console's methods; format and level are the function's logging configuration.
function patch(format, level) {
  asJSON = format === 'JSON';
  least = asJSON ? LEVELS[String(level).toUpperCase()] || LEVELS.INFO : 0;
  for (const [method, name] of Object.entries(METHODS)) {
    console[method] = (...args) => emit(name, args);
  }
}

// failure logs an error that ended an invocation or the loading of the code.
function failure(error) {
  if (asJSON) emit('ERROR', [error]);
  else channel.log(LEVELS.ERROR, 0, errors.text(error));
}

function hint(text) {
  channel.log(LEVELS.WARN, 1, text);
}

module.exports = { patch, setRequest, failure, hint };
