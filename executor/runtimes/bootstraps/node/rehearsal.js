'use strict';
// The handler that a worker calls before it belongs to a function.
exports.handler = async event => ({ seen: event.rehearsal });
