import assert from "node:assert/strict";
import { test } from "node:test";
import { listPath, NO_FILTERS, parse } from "../src/route.ts";

test("an address and what it shows", () => {
  const view = (path: string) => parse(new URL(path, "https://example.com"));
  assert.deepEqual(view("/console/"), { view: "list", filters: NO_FILTERS });
  assert.deepEqual(view("/console?status=failed&from=2026-11-01&to=never"), {
    view: "list",
    filters: { ...NO_FILTERS, status: "failed", from: "2026-11-01" },
  });
  assert.deepEqual(view("/console/recordings/42?t=1m"), { view: "recording", id: "42", at: "1m" });
  assert.deepEqual(view("/console/shared#secret"), { view: "shared", token: "secret" });
  assert.deepEqual(view("/console/other"), { view: "unknown" });
});

test("filters go into an address and out of it", () => {
  const filters = { ...NO_FILTERS, q: "a&b", kind: "web" };
  assert.deepEqual(parse(new URL(listPath(filters), "https://example.com")), { view: "list", filters });
});
