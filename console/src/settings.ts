/** Settings that the deployment gives its page; the function that serves it writes them into the entry. */
export interface Settings {
  /** The OIDC issuer. */
  authority: string;
  clientId: string;
  /** Parameters of the authorize request beside those of the protocol, such as `scope` and `audience`. */
  authorize: Record<string, string>;
  /** The fields that the deployment's API takes to start a recording. */
  startFields: string[];
}

export function settings(): Settings {
  return JSON.parse(document.getElementById("settings")?.textContent ?? "{}") as Settings;
}
