'use strict';
// The worker's end of the channel: frames on descriptor 3, log records on descriptor 4.
// Both are read and written synchronously: a waiting read IS the idle worker, so nothing of it runs between invocations (as on AWS),
// and a log record is in the pipe before the answer that follows it.
const fs = require('fs');

const CHANNEL = 3;
const RECORDS = 4;
const HEADER = 9; // length (4 bytes, big-endian), type (1), number (4): an answer repeats its invoke frame's
const RECORD_HEADER = 14; // length (4), level (1), kind (1), time in ms (double)

let input = Buffer.allocUnsafeSlow(65536);
let start = 0;
let end = 0;
const output = Buffer.allocUnsafeSlow(65536);
const record = Buffer.allocUnsafeSlow(8192);
let recordsOpen = true;
let number = 0;
let muted = false; // while the worker rehearses, nothing of it is written

function readSome(into, offset, length) {
  const n = fs.readSync(CHANNEL, into, offset, length, null);
  if (n === 0) process.reallyExit(0); // Kiln has gone
  return n;
}

function fill(n) {
  if (end - start >= n) return;
  input.copyWithin(0, start, end);
  end -= start;
  start = 0;
  while (end < n) end += readSome(input, end, input.length - end);
}

// read waits for the next frame. The payload is only valid until the next call.
function read() {
  fill(HEADER);
  const length = input.readUInt32BE(start);
  const type = input[start + 4];
  number = input.readUInt32BE(start + 5);
  start += HEADER;
  if (end - start >= length) {
    const payload = input.subarray(start, start + length);
    start += length;
    if (start === end) start = end = 0;
    return { type, payload };
  }
  const payload = Buffer.allocUnsafeSlow(length);
  let got = input.copy(payload, 0, start, end);
  start = end = 0;
  while (got < length) got += readSome(payload, got, length - got);
  return { type, payload };
}

function mute(yes) {
  muted = yes;
}

function writeAll(fd, buffer, length) {
  if (muted) return;
  for (let at = 0; at < length;) at += fs.writeSync(fd, buffer, at, length - at);
}

// writeText sends a frame whose payload is a string.
function writeText(type, text) {
  if (text.length * 3 + HEADER > output.length) return write(type, Buffer.from(text, 'utf8'));
  const n = output.utf8Write(text, HEADER, output.length - HEADER);
  output.writeUInt32BE(n, 0);
  output[4] = type;
  output.writeUInt32BE(number, 5);
  writeAll(CHANNEL, output, n + HEADER);
}

// write sends a frame whose payload is a Buffer or Uint8Array.
function write(type, payload) {
  const head = Buffer.allocUnsafe(HEADER);
  head.writeUInt32BE(payload.length, 0);
  head[4] = type;
  head.writeUInt32BE(number, 5);
  if (payload.length + HEADER <= output.length) {
    output.set(head, 0);
    output.set(payload, HEADER);
    writeAll(CHANNEL, output, payload.length + HEADER);
    return;
  }
  writeAll(CHANNEL, head, HEADER);
  writeAll(CHANNEL, payload, payload.length);
}

// log writes one record; kind 1 is Kiln's own word about the worker.
function log(level, kind, text) {
  if (!recordsOpen) return;
  let buffer = record;
  if (text.length * 3 + RECORD_HEADER > buffer.length) buffer = Buffer.allocUnsafe(text.length * 3 + RECORD_HEADER);
  const n = buffer.utf8Write(text, RECORD_HEADER, buffer.length - RECORD_HEADER);
  buffer.writeUInt32BE(n, 0);
  buffer[4] = level;
  buffer[5] = kind;
  buffer.writeDoubleBE(Date.now(), 6);
  try {
    writeAll(RECORDS, buffer, n + RECORD_HEADER);
  } catch {
    recordsOpen = false; // the function closed the descriptor: its output is lost, its answers are not
  }
}

module.exports = { read, write, writeText, log, mute };
