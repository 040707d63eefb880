import { signal } from "@preact/signals";

export type Route =
  | { view: "list"; filters: Filters }
  | { view: "recording"; id: string; at: string | null }
  | { view: "licences" }
  | { view: "shared"; token: string }
  | { view: "unknown" };

/** The filters of the list; every filter stands in the address. */
export interface Filters {
  q: string;
  status: string;
  kind: string;
  reference: string;
  /** Days as `YYYY-MM-DD`, both included. */
  from: string;
  to: string;
}

export const NO_FILTERS: Filters = { q: "", status: "", kind: "", reference: "", from: "", to: "" };
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export const route = signal<Route>({ view: "unknown" });

export function parse(url: URL): Route {
  const path = url.pathname.replace(/\/+$/, "");
  if (path === "/console") return { view: "list", filters: filtersOf(url.searchParams) };
  if (path === "/console/licences") return { view: "licences" };
  if (path === "/console/shared") return { view: "shared", token: url.hash.slice(1) };
  const found = /^\/console\/recordings\/([^/]+)$/.exec(path);
  if (found?.[1]) return { view: "recording", id: decodeURIComponent(found[1]), at: url.searchParams.get("t") };
  return { view: "unknown" };
}

export function filtersOf(query: URLSearchParams): Filters {
  const filters = { ...NO_FILTERS };
  for (const name of Object.keys(filters) as (keyof Filters)[]) filters[name] = query.get(name) ?? "";
  if (!DAY.test(filters.from)) filters.from = "";
  if (!DAY.test(filters.to)) filters.to = "";
  return filters;
}

export function listPath(filters: Filters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
  const text = query.toString();
  return text ? `/console?${text}` : "/console";
}

export function recordingPath(id: string): string {
  return `/console/recordings/${encodeURIComponent(id)}`;
}

/** Shows a path of the page; `replace` leaves no step to go back to, and the page where it was scrolled to. */
export function go(path: string, { replace = false } = {}): void {
  const before = location.pathname;
  if (replace) {
    history.replaceState(null, "", path);
  } else {
    history.replaceState({ scrolled: scrollY }, "");
    history.pushState(null, "", path);
  }
  route.value = parse(new URL(location.href));
  if (location.pathname !== before) scrollTo(0, 0);
}

/** Follows the address and the links of the page. */
export function follow(): void {
  route.value = parse(new URL(location.href));
  history.scrollRestoration = "manual";
  addEventListener("popstate", ({ state }: PopStateEvent) => {
    route.value = parse(new URL(location.href));
    const { scrolled = 0 } = (state ?? {}) as { scrolled?: number };
    requestAnimationFrame(() => scrollTo(0, scrolled));
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (!link.pathname.startsWith("/console") || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
