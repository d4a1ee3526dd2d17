/** Ruby and PHP. */
import type { Findings, Pin, Reader } from "#tooling/findings.ts";
import { at } from "#tooling/project.ts";

export const readRuby: Reader = (project): Findings | undefined => {
  const text = project.text("Gemfile");
  if (text === undefined) return undefined;
  const version = /^\s*ruby\s+["']([^"']+)["']/m.exec(text)?.[1];
  const pins: Pin[] = [{ tool: "ruby", version, reason: version ? "Gemfile: ruby" : "Gemfile" }];
  return { pins, commands: [{ command: "bundle install", reason: "Gemfile" }] };
};

export const readPhp: Reader = (project): Findings | undefined => {
  const data = project.data("composer.json", JSON.parse);
  if (data === undefined) return undefined;
  const version = at(data, "require", "php");
  const pins: Pin[] = [];
  if (typeof version === "string") {
    pins.push({ tool: "php", version, reason: "composer.json: require.php" });
  }
  pins.push(
    { tool: "composer", reason: "composer.json" },
    { tool: "php", reason: "composer.json" },
  );
  const command = "composer install --no-interaction";
  return { pins, commands: [{ command, reason: "composer.json" }] };
};
