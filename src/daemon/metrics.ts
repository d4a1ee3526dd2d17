/** Prometheus metrics at /metrics. Source: the text exposition format 0.0.4. */
import { readdirSync } from "node:fs";
import { type Vm, vmState } from "#api/vm.ts";
import { MiB } from "#base/size.ts";
import { version } from "#base/version.ts";

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Metric {
  name: string;
  help: string;
  type: "gauge" | "counter";
  samples: { labels?: Record<string, string>; value: number }[];
}

/** Counts of the calls that this daemon has had, by procedure and by how they ended. */
export class CallCounts {
  readonly #counts = new Map<string, number>();

  add(procedure: string, outcome: string): void {
    const key = `${procedure} ${outcome}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  samples(): Metric["samples"] {
    return [...this.#counts].map(([key, value]) => {
      const [procedure = "", outcome = ""] = key.split(" ");
      return { labels: { procedure, outcome }, value };
    });
  }
}

export function metricsText(vms: readonly Vm[], calls: CallCounts): string {
  const running = vms.filter(({ state }) => state === "running");
  const metrics: Metric[] = [
    {
      name: "banger_build_info",
      help: "Version of the daemon",
      type: "gauge",
      samples: [{ labels: { version: version.version, commit: version.commit }, value: 1 }],
    },
    {
      name: "banger_machines",
      help: "Machines by state",
      type: "gauge",
      samples: vmState.options.map((state) => ({
        labels: { state },
        value: vms.filter((vm) => vm.state === state).length,
      })),
    },
    {
      name: "banger_machine_memory_bytes",
      help: "Memory of each running machine",
      type: "gauge",
      samples: running.map((vm) => ({
        labels: { name: vm.name },
        value: vm.memory_mib * MiB,
      })),
    },
    {
      name: "banger_calls_total",
      help: "Calls by procedure and outcome",
      type: "counter",
      samples: calls.samples(),
    },
    {
      name: "process_resident_memory_bytes",
      help: "Resident memory of the daemon",
      type: "gauge",
      samples: [{ value: process.memoryUsage.rss() }],
    },
    {
      name: "process_open_fds",
      help: "Open files of the daemon",
      type: "gauge",
      samples: [{ value: readdirSync("/proc/self/fd").length }],
    },
  ];
  return metrics.map(textOf).join("");
}

function textOf({ name, help, type, samples }: Metric): string {
  const lines = samples.map(({ labels = {}, value }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
