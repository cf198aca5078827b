'use strict';
// Streamed responses: awslambda.streamifyResponse and HttpResponseStream, as AWS documents them.
const { Writable } = require('stream');
const channel = require('./channel.js');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const START = 0x53; // S
const CHUNK = 0x43; // C
const END = 0x54; // T
const PRELUDE_TYPE = 'application/vnd.awslambda.http-integration-response';
const LARGEST = 1 << 20; // bytes in one frame

class ResponseStream extends Writable {
  constructor() {
    super({ highWaterMark: 65536, decodeStrings: true });
    this.contentType = 'application/octet-stream';
    this.started = false;
    this.closed_ = false;
  }

  setContentType(type) {
    this.contentType = type;
  }

  start() {
    if (this.started) return;
    this.started = true;
    if (this.prelude) this.contentType = PRELUDE_TYPE;
    channel.writeText(START, this.contentType);
    if (this.prelude) channel.write(CHUNK, this.prelude);
  }

  _write(chunk, _encoding, done) {
    if (this.closed_) return done();
    try {
      this.start();
      for (let at = 0; at < chunk.length; at += LARGEST) channel.write(CHUNK, chunk.subarray(at, at + LARGEST));
      done();
    } catch (e) {
      done(e);
    }
  }

  // finish ends the response once; error is AWS's error object as JSON, or ''.
  finish(error) {
    if (this.closed_) return;
    this.start();
    this.closed_ = true;
    channel.writeText(END, error);
  }
}

const HttpResponseStream = {
  from(stream, prelude) {
    stream.prelude = Buffer.concat([Buffer.from(JSON.stringify(prelude)), Buffer.alloc(8)]);
    return stream;
  },
};

function install() {
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[STREAMING] = 'response';
      return handler;
    },
    HttpResponseStream,
  };
}

const isStreaming = handler => handler[STREAMING] === 'response';

module.exports = { install, isStreaming, ResponseStream };
