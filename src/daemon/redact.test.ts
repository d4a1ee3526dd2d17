import { expect, test } from "bun:test";
import { MiB } from "#base/size.ts";
import { redact } from "./redact.ts";

test("redact() removes what looks like a secret, and keeps the rest", () => {
  const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----";
  expect(redact(`a ${key} b`)).toBe("a [removed] b");
  expect(redact("https://user:pass@host/x")).toBe("https://[removed]@host/x");
  expect(redact("Authorization: Bearer abcdefgh.ijk")).toBe("Authorization: [removed]");
  expect(redact('{"token":"abc","name":"box"}')).toBe('{"token":"[removed]","name":"box"}');
  expect(redact("PASSWORD=hunter2 x")).toBe("PASSWORD=[removed] x");
  expect(redact("a line without any")).toBe("a line without any");
});

test("redact() knows the names that secrets have, and quotes of every kind", () => {
  const secret = "hunter2";
  for (const name of [
    ..."AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GITHUB_PAT MYSQL_PWD DB_PASS PGPASSWORD".split(" "),
    ..."private_key api-key apiKey client_secret Access-Key STORAGE_KEY passphrase".split(" "),
    ..."_authToken registry.example.token GOOGLE_CREDENTIALS DOCKER_AUTH_KEY secretKey SSHPASS AUTH_TOKENS Set-Cookie".split(
      " ",
    ),
  ]) {
    for (const text of [
      `${name}=${secret}`,
      `export ${name}="two ${secret}"`,
      `${name}: '${secret} words'`,
      `{"${name}": "a \\"${secret}"}`,
      `{"message":"env {\\"${name}\\":\\"x ${secret}\\"}"}`,
      `--${name.replace(/^[_.]/, "")} ${secret} next`,
      `https://host/?${name}=${secret}&x=1`,
    ]) {
      expect([text, redact(text)]).toEqual([text, expect.not.stringContaining(secret)]);
    }
  }
  expect(redact('{"private_key":"a b","n":1}')).toBe('{"private_key":"[removed]","n":1}');
  for (const text of [
    `{"auths":{"registry.example":{"auth":"${secret}"}}}`,
    `//registry.example/:_auth=${secret}`,
    `X-Registry-Auth: ${secret}`,
    `https://user:a@${secret}@host/`,
    `X-Amz-Signature=${secret}`,
    `PASSWORD=a,${secret}`,
    `PASSWORD=a;${secret}`,
    `PASSWORD=$'a b ${secret}'`,
  ]) {
    expect([text, redact(text)]).toEqual([text, expect.not.stringContaining(secret)]);
  }
  expect(redact("?api_key=abc&x=1")).toBe("?api_key=[removed]&x=1");
});

test("redact() knows tokens by their form", () => {
  for (const token of [
    `ghp_${"a1".repeat(18)}`,
    `github_pat_${"a1".repeat(20)}`,
    `glpat-${"a".repeat(20)}`,
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
  ]) {
    expect(redact(`got ${token} here`)).toBe("got [removed] here");
  }
});

test("redact() keeps paths, digests and working folders", () => {
  for (const text of [
    "PWD=/root OLDPWD=/srv",
    "PATH=/usr/bin",
    "path: /srv/pattern, patch: 5",
    "sha256:0123456789abcdef",
    '{"key":"disk","compass":"north"}',
    "passed: 5, author: me",
    "GET https://registry.example/@types/node",
    "auth: no",
    "a signature, secretly",
  ]) {
    expect(redact(text)).toBe(text);
  }
});

test("redact() removes a key whose end was cut off", () => {
  expect(redact("-----BEGIN RSA PRIVATE KEY-----\nabc")).toBe("[removed]");
});

test("redact() gets through what a guest prints to keep it busy", () => {
  for (const unit of ["a", "token.", "-", "\\", 'token\\"', "eyJ-", "://a"]) {
    const text = unit.repeat(MiB / 8 / unit.length);
    expect(redact(text).length).toBeGreaterThan(0);
  }
});
