// The tab's one websocket. Any number of subscriptions share it; when it breaks they are made again, each from where it stopped.

/** Topics that the server knows. */
export type Topic = "logs" | "runs" | "metrics" | "tasks";

/** A frame's payload is the topic's own; now is the server's clock in ms when it was sent. */
export interface Frame {
  now: number;
  [key: string]: unknown;
}

export type SocketState = "connecting" | "live" | "lost" | "ended" | "denied";

export interface Subscription {
  topic: Topic;
  /** The function's name; "" for all functions. */
  fn: string;
  /** More of the request, asked for again at every (re)connection: where to go on from. */
  where(): Record<string, string | number>;
  onFrame(f: Frame): void;
  onState?(s: SocketState, message?: string): void;
}

const firstWait = 250;
const longestWait = 8000;
const pingEvery = 5000;
const sessionEnded = 4401;

let ws: WebSocket | null = null;
let state: SocketState = "connecting";
let wait = firstWait;
let nextId = 1;
let retry = 0;
let pinger = 0;
let offset = 0;
let bestTrip = Infinity;
const subs = new Map<number, Subscription>();

/** serverNow is the server's clock in ms as this tab knows it: local time plus an offset measured at the quickest ping. */
export const serverNow = () => Date.now() + offset;

/** subscribe starts sub and answers what ends it. */
export function subscribe(sub: Subscription): () => void {
  const id = nextId++;
  subs.set(id, sub);
  if (ws?.readyState === WebSocket.OPEN) ask(id, sub);
  else connect();
  sub.onState?.(state);
  return () => {
    if (!subs.delete(id)) return;
    send({ op: "unsub", id });
    if (!subs.size) hangUp();
  };
}

function ask(id: number, sub: Subscription) {
  send({ op: "sub", id, topic: sub.topic, fn: sub.fn, ...sub.where() });
}

function send(message: object) {
  if (ws?.readyState === WebSocket.OPEN) ws.send(JSON.stringify(message));
}

function connect() {
  if (ws || state === "ended") return;
  clearTimeout(retry);
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  ws = mine;
  mine.onopen = opened;
  mine.onmessage = (e) => heard(JSON.parse(e.data as string));
  mine.onclose = (e) => {
    if (ws === mine) closed(e.code);
  };
}

function opened() {
  wait = firstWait;
  bestTrip = Infinity;
  tell("live");
  for (const [id, sub] of subs) ask(id, sub);
  ping();
  pinger = window.setInterval(ping, pingEvery);
}

function ping() {
  send({ op: "ping", at: performance.now() });
}

interface Message extends Frame {
  s: number;
  k: string;
  at?: number;
  m?: string;
}

function heard(m: Message) {
  if (m.k === "pong") return measure(m);
  const sub = subs.get(m.s);
  if (!sub) return;
  if (m.k === "denied") sub.onState?.("denied", m.m);
  else sub.onFrame(m);
}

// measure keeps the offset of the quickest round trip: the slower ones waited behind frames.
function measure(m: Message) {
  const trip = performance.now() - (m.at ?? 0);
  if (trip > bestTrip) return;
  bestTrip = trip;
  offset = m.now + trip / 2 - Date.now();
}

function closed(code: number) {
  ws = null;
  clearInterval(pinger);
  if (code === sessionEnded) return tell("ended");
  tell("lost");
  if (!subs.size) return;
  retry = window.setTimeout(connect, wait * (0.5 + Math.random() / 2));
  wait = Math.min(wait * 2, longestWait);
}

function tell(s: SocketState) {
  state = s;
  for (const sub of subs.values()) sub.onState?.(s);
}

function hangUp() {
  clearTimeout(retry);
  clearInterval(pinger);
  const old = ws;
  ws = null;
  state = "connecting";
  old?.close();
}

function hurry() {
  if (!ws && subs.size && document.visibilityState === "visible") {
    wait = firstWait;
    connect();
  }
}

addEventListener("online", hurry);
document.addEventListener("visibilitychange", hurry);
