// Sells a license through the client that was generated from the description.
import createClient from "openapi-fetch";
import type { paths } from "./licet.js";

const client = createClient<paths>({
  baseUrl: process.env.LICET_URL + "/api/v1",
  headers: { Authorization: "Bearer " + process.env.LICET_TOKEN },
});

function stop(why: unknown): never {
  console.error(why);
  process.exit(1);
}

const applied = await client.PUT("/catalog", {
  body: { yaml: "products:\n  - {code: CAD, name: CAD, model: perpetual_single}\n" },
});
if (applied.error) stop(applied.error);

const made = await client.POST("/orders", {
  params: { header: { "Idempotency-Key": "smoke" } },
  body: { number: "2026/1", customer: "Ada Miller", items: [{ product: "CAD", quantity: 2 }] },
});
if (made.error) stop(made.error);

const order = await client.GET("/orders/{number}", { params: { path: { number: made.data.number } } });
if (order.error) stop(order.error);
if (order.data.licenses.length !== 2) stop(order.data);

const list = await client.GET("/licenses", { params: { query: { limit: 1 } } });
if (list.error) stop(list.error);
if (list.data.items.length !== 1 || list.data.items[0].state !== "not_collected" || !list.data.next) stop(list.data);

const none = await client.GET("/licenses/{id}", { params: { path: { id: "none" } } });
if (none.data || none.error.code !== "not_found" || none.error.status !== 404) stop(none);

// @ts-expect-error: the generated types must refuse an order without a customer
const wrong = await client.POST("/orders", { body: { items: [{ product: "CAD" }] } });
if (!wrong.error || wrong.error.code !== "invalid_input") stop(wrong);

console.log(made.data.ticket);
