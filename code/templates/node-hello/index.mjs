// Kiln calls handler with the test event. What it returns is the answer; what it logs appears below, live.
export const handler = async (event, context) => {
  const name = event.name ?? "world";
  console.log("Saying hello", { name, requestId: context.awsRequestId });
  return { message: `Hello, ${name}!`, remainingMs: context.getRemainingTimeInMillis() };
};
