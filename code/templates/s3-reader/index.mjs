// Reads what happened to which object from an S3 event. Keys arrive URL-encoded, with + for blanks.
export const handler = async (event) => {
  const objects = event.Records.map(({ eventName, s3 }) => ({
    event: eventName,
    bucket: s3.bucket.name,
    key: decodeURIComponent(s3.object.key.replaceAll("+", " ")),
    size: s3.object.size ?? 0,
  }));
  for (const o of objects) {
    console.log(`${o.event} s3://${o.bucket}/${o.key} (${o.size} bytes)`);
  }
  return { count: objects.length, bytes: objects.reduce((sum, o) => sum + o.size, 0), objects };
};
