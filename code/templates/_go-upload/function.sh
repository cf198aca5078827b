# Stands in until function.zip is uploaded: it answers what to do.
handler() {
  cat >/dev/null
  echo "This is the stand-in: the Go program is not here yet" >&2
  echo '{"message":"Run ./build.sh where Go is installed, then drop function.zip on this page."}'
}
