import { hearServerTime } from "../clock.ts";
import { accessToken, renewedToken, sessionEnded } from "../session.ts";
import type { Changed, Deleted, Detail, NewLink, Page, Shared, StartBody, Started } from "./contract.ts";
import { ApiError, errorOf } from "./errors.ts";

const BASE = "/api/video";
const TIMEOUT_MILLISECONDS = 35_000;

interface Options {
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Query {
  roomName?: string;
  status?: string;
  source?: string;
  reference?: string;
  from?: string;
  to?: string;
  order?: "asc" | "desc";
  limit?: number;
  cursor?: string;
}

export function list(query: Query): Promise<Page> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return call("GET", `/recordings${text ? `?${text}` : ""}`);
}

export function get(id: string): Promise<Detail> {
  return call("GET", one(id));
}

export function start(body: StartBody, idempotencyKey: string): Promise<Started> {
  return call("POST", "/recordings", { body, headers: { "idempotency-key": idempotencyKey } });
}

export function change(id: string, action: "stop" | "pause" | "resume"): Promise<Changed> {
  return call("PATCH", one(id), { body: { action } });
}

export function rename(id: string, title: string | null): Promise<Changed> {
  return call("PATCH", one(id), { body: { title } });
}

export function remove(id: string): Promise<unknown> {
  return call("DELETE", one(id));
}

export function removeAll(ids: readonly string[]): Promise<Deleted> {
  return call("POST", "/recordings/delete", { body: { ids } });
}

export function createLink(id: string, expiresIn: number, mayDownload: boolean): Promise<NewLink> {
  return call("POST", `${one(id)}/links`, { body: { expiresIn, mayDownload } });
}

export function revokeLink(id: string, linkId: string): Promise<unknown> {
  return call("DELETE", `${one(id)}/links/${encodeURIComponent(linkId)}`);
}

/** Returns what a share link shows; needs no account. */
export async function shared(token: string): Promise<Shared> {
  return (await answered(await send("POST", "/shared", null, { body: { token } }))) as Shared;
}

function one(id: string): string {
  return `/recordings/${encodeURIComponent(id)}`;
}

async function call<Answer>(method: string, path: string, options: Options = {}): Promise<Answer> {
  let response = await send(method, path, await accessToken(), options);
  if (response.status === 401) {
    const token = await renewedToken();
    if (token) response = await send(method, path, token, options);
    if (response.status === 401) sessionEnded();
  }
  return (await answered(response)) as Answer;
}

async function answered(response: Response): Promise<unknown> {
  hearServerTime(response.headers.get("date"));
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

async function send(method: string, path: string, token: string | null, options: Options): Promise<Response> {
  const timeout = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
  const headers: Record<string, string> = { ...options.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(`${BASE}${path}`, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      cache: "no-store",
      credentials: "omit",
      // A request that a person made goes through also if they leave the page at once: it was shown as done.
      keepalive: method !== "GET",
      signal: timeout,
    });
  } catch {
    throw new ApiError("", { status: 0, code: timeout.aborted ? "timeout" : "offline" });
  }
}
