'use strict';
// AWS's error objects.
const util = require('util');

// named makes an error of one of the runtime's own types.
function named(name, message, stack) {
  const e = new Error(message);
  e.name = name;
  e.stack = stack === undefined ? `${name}: ${message}` : stack;
  return e;
}

function isError(e) {
  return util.types.isNativeError(e) || (e && e.name && e.message && e.stack);
}

// shape is the object that callers of a failed function get.
function shape(e) {
  try {
    if (isError(e)) {
      return {
        errorType: String(e.name || 'Error'),
        errorMessage: String(e.message),
        trace: String(e.stack || '').split('\n'),
      };
    }
    return { errorType: typeof e, errorMessage: typeof e === 'symbol' ? e.toString() : String(e), trace: [] };
  } catch {
    return { errorType: 'handled', errorMessage: 'the error cannot be shown', trace: [] };
  }
}

function json(e) {
  return JSON.stringify(shape(e));
}

// text is an error as a person reads it in the log.
function text(e) {
  try {
    return isError(e) ? String(e.stack || `${e.name}: ${e.message}`) : util.inspect(e);
  } catch {
    return 'the error cannot be shown';
  }
}

module.exports = { named, isError, shape, json, text };
