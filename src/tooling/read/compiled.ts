/** Go, Rust, Java, and projects that make or CMake builds. */
import { parse as parseToml } from "smol-toml";
import type { Findings, Pin, Reader } from "#tooling/findings.ts";
import { at } from "#tooling/project.ts";

export const readGo: Reader = (project): Findings | undefined => {
  const text = project.text("go.mod");
  if (text === undefined) return undefined;
  const toolchain = /^toolchain\s+go(\d[\d.]*)/m.exec(text)?.[1];
  const language = /^go\s+(\d[\d.]*)/m.exec(text)?.[1];
  const pins: Pin[] = [];
  if (toolchain) {
    pins.push({ tool: "go", version: `>=${toolchain}`, reason: "go.mod: toolchain" });
  }
  pins.push({ tool: "go", version: language && `>=${language}`, reason: "go.mod" });
  const files = ["go.mod", "go.sum"].filter((name) => project.has(name));
  // A replaced module may be a directory of the project.
  const isWhole = !/^\s*replace\b/m.test(text) && !/=>\s*\.{1,2}\//.test(text);
  const cache = isWhole ? { files, warm: "go mod download" } : {};
  return { pins, commands: [{ command: "go mod download", reason: "go.mod", ...cache }] };
};

export const readRust: Reader = (project): Findings | undefined => {
  const data = project.data("Cargo.toml", parseToml);
  const pins: Pin[] = [];
  const plain = project.text("rust-toolchain");
  const channel =
    at(project.data("rust-toolchain.toml", parseToml), "toolchain", "channel") ??
    (plain?.includes("[") ? /channel\s*=\s*"([^"]+)"/.exec(plain)?.[1] : plain?.trim());
  if (typeof channel === "string") {
    pins.push({ tool: "rust", version: channel, reason: "rust-toolchain" });
  }
  if (data === undefined) return { pins };
  const least =
    at(data, "package", "rust-version") ?? at(data, "workspace", "package", "rust-version");
  const version = typeof least === "string" ? `>=${least}` : undefined;
  pins.push({ tool: "rust", version, reason: `Cargo.toml${version ? ": rust-version" : ""}` });
  const isLocked = project.has("Cargo.lock");
  const command = isLocked ? "cargo fetch --locked" : "cargo fetch";
  return { pins, commands: [{ command, reason: isLocked ? "Cargo.lock" : "Cargo.toml" }] };
};

/** The values of a Maven project's properties that name a Java version. */
const JAVA_VERSION =
  /<(maven\.compiler\.(?:release|target|source)|java\.version|release)>\s*(?:1\.)?(\d+)\s*</;

export const readJava: Reader = (project): Findings | undefined => {
  const pom = project.text("pom.xml");
  const gradle = ["build.gradle.kts", "build.gradle"].find((name) => project.has(name));
  if (pom === undefined && gradle === undefined) return undefined;
  const pins: Pin[] = [];
  if (pom !== undefined) {
    const [, key, version] = JAVA_VERSION.exec(pom) ?? [];
    if (version) pins.push({ tool: "java", version, reason: `pom.xml: ${key}` });
    pins.push({ tool: "maven", reason: "pom.xml" }, { tool: "java", reason: "pom.xml" });
    const command = "mvn --batch-mode --quiet dependency:go-offline";
    return { pins, commands: [{ command, reason: "pom.xml" }] };
  }
  const file = gradle ?? "";
  const text = project.text(file) ?? "";
  const [, version] =
    /languageVersion\D{0,60}\b(\d+)\b/.exec(text) ?? /jvmToolchain\(\s*(\d+)/.exec(text) ?? [];
  pins.push({ tool: "java", version, reason: file });
  const notes = project.has("gradlew")
    ? []
    : [`${file}: no gradlew, so Gradle is not installed; add the wrapper to the project`];
  return { pins, notes };
};

export const readMake: Reader = (project): Findings | undefined => {
  const pins: Pin[] = [];
  const makefile = ["GNUmakefile", "Makefile", "makefile"].find((name) => project.has(name));
  if (makefile !== undefined) {
    pins.push({ tool: "make", reason: makefile });
    const text = project.text(makefile) ?? "";
    if (/\$[({](CC|CXX)[)}]|\b(gcc|cc|g\+\+)\s+-/.test(text)) {
      pins.push({ tool: "c", reason: `${makefile}: compiles C or C++` });
    }
  }
  if (project.has("CMakeLists.txt")) {
    for (const tool of ["cmake", "make", "c"]) pins.push({ tool, reason: "CMakeLists.txt" });
  }
  return { pins };
};
