import type { UsageSample } from "#api/ui/usage.ts";
import type { Vm } from "#api/vm.ts";
import { vmHref } from "#web/app/route.ts";
import { usageOf } from "#web/link/usage.ts";
import { Button } from "#web/parts/button.tsx";
import { now_s } from "#web/parts/clock.ts";
import { ago, percent, rate, size } from "#web/parts/format.ts";
import { Menu } from "#web/parts/menu.tsx";
import { Spark } from "#web/parts/spark.tsx";
import { act, mainAction, menuOf, verb } from "./actions.ts";
import { PortLink } from "./port-link.tsx";
import { StateMark } from "./state.tsx";
import { cursor, selected, toggle } from "./view.ts";

const MIB = 1024 * 1024;
const PORTS_SHOWN = 2;

export function Row({ vm, index }: { vm: Vm; index: number }) {
  const { id, name, image, network } = vm;
  const ports = network.ports ?? [];
  const isSelected = selected.value.has(id);
  const action = mainAction(vm);
  const classes = ["row", cursor.value === index ? "at-cursor" : "", isSelected ? "selected" : ""];
  return (
    <div class={classes.join(" ")} role="row" aria-rowindex={index + 2} aria-selected={isSelected}>
      <span role="gridcell" class="cell-check">
        <input
          type="checkbox"
          aria-label={`Select ${name}`}
          checked={isSelected}
          onChange={() => toggle(id)}
        />
      </span>
      <span role="gridcell" class="cell-name">
        <a href={vmHref(name)} data-cursor={index}>
          {name}
        </a>
      </span>
      <span role="gridcell" class="cell-state">
        <StateMark vm={vm} />
      </span>
      <span role="gridcell" class="cell-image" title={image}>
        {image}
      </span>
      <span role="gridcell" class="cell-address mono">
        {network.address ?? "–"}
      </span>
      <span role="gridcell" class="cell-ports">
        {ports.slice(0, PORTS_SHOWN).map((port) => (
          <PortLink key={`${port.hostAddress}:${port.hostPort}`} port={port} />
        ))}
        {ports.length > PORTS_SHOWN && (
          <a href={vmHref(name, "network")}>+{ports.length - PORTS_SHOWN}</a>
        )}
      </span>
      <Usage vm={vm} />
      <span role="gridcell" class="cell-age dim">
        {ago(vm.startedAt ?? vm.createdAt, now_s.value)}
      </span>
      <span role="gridcell" class="cell-actions">
        {action && (
          <Button
            kind="quiet"
            label={`${verb(action)} ${name}`}
            onClick={() => void act(action, vm)}
          >
            {verb(action).toLowerCase()}
          </Button>
        )}
        <Menu label={`More actions for ${name}`} items={menuOf(vm)} />
      </span>
    </div>
  );
}

/** Each graph against what the machine may use, or a rate that is worth noticing. */
function Usage({ vm }: { vm: Vm }) {
  const samples = usageOf(vm.id);
  const last = samples.at(-1);
  const graph = (of: (sample: UsageSample) => number, top: number, label: string, text: string) => (
    <>
      <Spark values={samples.map(of)} top={top} label={`${label}: ${text}`} />
      <span class="figure" aria-hidden="true">
        {text}
      </span>
    </>
  );
  const disk = (each: UsageSample) => each.read_bytes + each.write_bytes;
  const net = (each: UsageSample) => each.receive_bytes + each.send_bytes;
  return (
    <>
      <span role="gridcell" class="cell-graph cpu">
        {last && graph(({ cpu }) => cpu, vm.cpus, "CPU", percent(last.cpu))}
      </span>
      <span role="gridcell" class="cell-graph memory">
        {last &&
          graph(
            ({ resident_bytes }) => resident_bytes,
            vm.memory_mib * MIB,
            "Memory",
            size(last.resident_bytes),
          )}
      </span>
      <span role="gridcell" class="cell-graph disk">
        {last && graph(disk, MIB, "Disk", rate(disk(last)))}
      </span>
      <span role="gridcell" class="cell-graph net">
        {last && graph(net, MIB, "Network", rate(net(last)))}
      </span>
    </>
  );
}
