import { signal } from "@preact/signals";
import type { SigninResponse } from "oidc-client-ts";
import { ErrorResponse, OidcClient, WebStorageStateStore } from "oidc-client-ts";
import { ApiError } from "./api/errors.ts";
import { settings } from "./settings.ts";

/** `checking`: a sign-in is being finished; `ended`: the session cannot be renewed any more. */
export type SessionState = "checking" | "out" | "in" | "ended" | "failed";

export const session = signal<SessionState>("checking");
/** Why the sign-in did not succeed, in the issuer's words. */
export const signInProblem = signal("");
export const userName = signal("");

const RENEW_BEFORE_SECONDS = 60;
const LEAST_RENEWAL_SECONDS = 5;
// Says that this tab was signed in before, and nothing else: a reload then goes to the issuer at once.
const HINT = "console:signed-in";

let client: OidcClient | undefined;
let tokens: SigninResponse | undefined;
let expiresAt = 0;
let renewal: Promise<string | null> | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Finishes a sign-in that the address carries, or tells whether one is needed. Returns the path to show. */
export async function resume(): Promise<string> {
  const here = location.pathname + location.search;
  const answer = new URLSearchParams(location.search);
  if (answer.has("state") && (answer.has("code") || answer.has("error"))) return finish();
  if (sessionStorage.getItem(HINT)) {
    await signIn(here);
  } else {
    session.value = "out";
  }
  return here;
}

/** Goes to the issuer, and comes back to `path`. */
export async function signIn(path: string): Promise<void> {
  session.value = "checking";
  try {
    const request = await oidc().createSigninRequest({ state: { path } });
    location.assign(request.url);
  } catch (error) {
    fail(error);
  }
}

/** Forgets the tokens; the issuer's own session is left as it is unless it has an address to end it. */
export async function signOut(): Promise<void> {
  const idToken = tokens?.id_token;
  forget();
  session.value = "out";
  try {
    const request = await oidc().createSignoutRequest({
      ...(idToken ? { id_token_hint: idToken } : {}),
      post_logout_redirect_uri: redirectUri(),
    });
    location.assign(request.url);
  } catch {
    // An issuer without `end_session_endpoint`: being signed out here is all there is.
  }
}

export function sessionEnded(): void {
  forget();
  session.value = "ended";
}

/** Returns a token that is still good, renewed if need be; null where nobody is signed in. */
export async function accessToken(): Promise<string | null> {
  if (tokens && Date.now() < expiresAt) return tokens.access_token;
  return renewedToken();
}

/**
 * Returns a new access token by the refresh token, which the issuer may rotate; null where the session is over. Raises
 * where the issuer does not answer as it should: that ends no session.
 */
export function renewedToken(): Promise<string | null> {
  renewal ??= renew().finally(() => {
    renewal = undefined;
  });
  return renewal;
}

async function renew(): Promise<string | null> {
  if (!tokens?.refresh_token) return null;
  try {
    const response = await oidc().useRefreshToken({
      state: {
        refresh_token: tokens.refresh_token,
        id_token: tokens.id_token ?? "",
        session_state: null,
        scope: tokens.scope ?? "",
        profile: tokens.profile,
      },
      timeoutInSeconds: 15,
    });
    keep({ ...response, refresh_token: response.refresh_token ?? tokens.refresh_token } as SigninResponse);
    return response.access_token;
  } catch (error) {
    if (error instanceof ErrorResponse) return null;
    throw new ApiError("", { status: 0, code: "not_renewed" });
  }
}

async function finish(): Promise<string> {
  try {
    const response = await oidc().processSigninResponse(location.href);
    keep(response);
    sessionStorage.setItem(HINT, "1");
    session.value = "in";
    return (response.userState as { path?: string } | undefined)?.path ?? "/console";
  } catch (error) {
    fail(error);
    return "/console";
  }
}

function keep(response: SigninResponse): void {
  tokens = response;
  const lifetime = response.expires_in ?? 300;
  expiresAt = Date.now() + lifetime * 1000;
  const { name, preferred_username: login, email, sub } = response.profile;
  userName.value = name ?? login ?? email ?? sub;
  clearTimeout(timer);
  if (!response.refresh_token) return;
  const wait = Math.max(lifetime - RENEW_BEFORE_SECONDS, lifetime / 2, LEAST_RENEWAL_SECONDS);
  // If it does not work, the next call that needs the token tries again.
  timer = setTimeout(() => void renewedToken().catch(() => undefined), wait * 1000);
}

function fail(error: unknown): void {
  forget();
  signInProblem.value = error instanceof Error ? error.message : String(error);
  session.value = "failed";
}

function forget(): void {
  tokens = undefined;
  expiresAt = 0;
  clearTimeout(timer);
  sessionStorage.removeItem(HINT);
}

function redirectUri(): string {
  return `${location.origin}/console`;
}

function oidc(): OidcClient {
  if (client) return client;
  const { authority, clientId, authorize } = settings();
  const { scope = "openid", ...parameters } = authorize;
  client = new OidcClient({
    authority,
    client_id: clientId,
    redirect_uri: redirectUri(),
    response_type: "code",
    scope,
    extraQueryParams: parameters,
    loadUserInfo: false,
    // The verifier has to outlive the way to the issuer and back; a token is never stored.
    stateStore: new WebStorageStateStore({ store: sessionStorage }),
  });
  return client;
}
