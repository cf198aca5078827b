// A small JSON API for a function URL or an HTTP API. Orders live in the worker's memory: a new worker starts with these two.
const orders = new Map([
  ["17", { id: "17", item: "mug", quantity: 2 }],
  ["18", { id: "18", item: "bowl", quantity: 1 }],
]);

const json = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

const routes = {
  "GET /orders": () => json(200, [...orders.values()]),
  "GET /orders/:id": (id) => (orders.has(id) ? json(200, orders.get(id)) : json(404, { error: `There is no order ${id}` })),
  "POST /orders/:id": (id, body) => {
    orders.set(id, { ...body, id });
    return json(201, orders.get(id));
  },
  "DELETE /orders/:id": (id) => (orders.delete(id) ? json(200, { deleted: id }) : json(404, { error: `There is no order ${id}` })),
};

export const handler = async (event) => {
  const { method, path } = event.requestContext.http;
  const [, collection, id] = path.split("/");
  const route = routes[`${method} /${collection}${id ? "/:id" : ""}`];
  console.log(method, path);
  if (!route) return json(404, { error: `Nothing answers ${method} ${path}` });
  return route(id, parse(event));
};

const parse = (event) => {
  if (!event.body) return {};
  return JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body);
};
