/** Files that hold secrets, by their names. */

const HARMLESS = /^\.env(\.[^/]*)?[.-](example|sample|template|dist|defaults?|schema)$|\.pub$/i;
const NAMES = [
  /^\.env(\..*)?$/i,
  /^\.envrc$/i,
  /\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg|tfstate|tfvars)$/i,
  /^id_(rsa|dsa|ecdsa|ed25519)(_sk)?$/i,
  /^(\.netrc|_netrc|\.npmrc|\.pypirc|\.pgpass|\.my\.cnf|\.htpasswd|\.git-credentials|\.dockercfg|\.vault-token)$/i,
  /^(credentials|client_secrets?|secrets?|service[-_]account[^/]*)\.(json|ya?ml|toml|ini)$/i,
];
const FOLDERS = new Set([".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".gcloud"]);

export function looksSecret(name: string): boolean {
  const parts = name.split("/");
  const last = parts.pop() ?? "";
  if (HARMLESS.test(last)) return false;
  return parts.some((part) => FOLDERS.has(part)) || NAMES.some((pattern) => pattern.test(last));
}
