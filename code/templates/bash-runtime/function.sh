# The handler: the event comes on standard input, the answer goes to standard output, the log to standard error.
handler() {
  local event
  event=$(cat)
  echo "Got an event of ${#event} bytes" >&2
  echo "{\"message\":\"Hello from bash ${BASH_VERSION%%(*}\",\"event\":$event}"
}
