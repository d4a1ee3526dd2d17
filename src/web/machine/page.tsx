/** One machine: its state and actions, and a tab for each thing in it. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Vm } from "#api/vm.ts";
import { goInstead, pageHref, vmHref } from "#web/app/route.ts";
import { connection, machineNamed, machines } from "#web/link/machines.ts";
import { act, mainAction, menuOf, verb } from "#web/machines/actions.ts";
import { PortLink } from "#web/machines/port-link.tsx";
import { StateMark } from "#web/machines/state.tsx";
import { Button } from "#web/parts/button.tsx";
import { now_s } from "#web/parts/clock.ts";
import { ago, size } from "#web/parts/format.ts";
import { Menu } from "#web/parts/menu.tsx";
import { Empty } from "#web/parts/trouble.tsx";
import { visible } from "#web/parts/visible.ts";
import { PolicyTab } from "#web/policy/tab.tsx";
import { WorkspaceTab } from "#web/workspace/tab.tsx";
import { EventsTab } from "./events.tsx";
import { FilesTab } from "./files.tsx";
import { LogsTab } from "./logs.tsx";
import { NetworkTab } from "./network.tsx";
import { ProcessesTab } from "./processes.tsx";
import { RecordTab } from "./record.tsx";
import { SnapshotsTab } from "./snapshots.tsx";
import { TerminalTab } from "./terminal.tsx";
import { UsageTab } from "./usage.tsx";

const MIB = 1024 * 1024;

const TABS: readonly [
  key: string,
  label: string,
  page: (props: { vm: Vm }) => ComponentChildren,
  needsRunning: boolean,
][] = [
  ["terminal", "Terminal", TerminalTab, true],
  ["logs", "Logs", LogsTab, false],
  ["processes", "Processes", ProcessesTab, true],
  ["files", "Files", FilesTab, true],
  ["workspace", "Workspace", WorkspaceTab, false],
  ["network", "Network", NetworkTab, false],
  ["policy", "Policy", PolicyTab, false],
  ["snapshots", "Snapshots", SnapshotsTab, false],
  ["usage", "Usage", UsageTab, false],
  ["events", "Events", EventsTab, false],
  ["record", "Record", RecordTab, false],
];

export function MachinePage({ name, tab }: { name: string; tab: string | undefined }) {
  const vm = machineNamed(name);
  const shown = useRef<string | undefined>(undefined);
  if (vm) shown.current = vm.id;
  const renamed = vm ? undefined : machines.value.get(shown.current ?? "");
  useEffect(() => {
    if (renamed) goInstead(vmHref(renamed.name, tab));
  }, [renamed?.name]);
  if (!vm) {
    if (connection.value === "connecting") return <p class="dim">Loading…</p>;
    return (
      <Empty title={`No machine "${name}"`} isPage>
        <a href={pageHref("")}>All machines</a>
      </Empty>
    );
  }
  const found = TABS.find(([key]) => key === tab) ?? TABS[vm.state === "running" ? 0 : 1];
  if (!found) return null;
  const [current, label, Tab, needsRunning] = found;
  return (
    <>
      <Heading vm={vm} />
      <Tabs name={name} current={current} />
      <section class="tab" aria-label={label}>
        {needsRunning && vm.state !== "running" ? (
          <NotRunning vm={vm} />
        ) : (
          <Tab key={vm.id} vm={vm} />
        )}
      </section>
    </>
  );
}

function Tabs({ name, current }: { name: string; current: string }) {
  const ref = useRef<HTMLElement>(null);
  // A phone's width has some of them only.
  useLayoutEffect(() => {
    const tab = ref.current?.querySelector("[aria-current]");
    tab?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);
  return (
    <nav ref={ref} class="tabs" aria-label={`About ${name}`}>
      {TABS.map(([key, text]) => (
        <a key={key} href={vmHref(name, key)} aria-current={key === current ? "page" : undefined}>
          {text}
        </a>
      ))}
    </nav>
  );
}

function Heading({ vm }: { vm: Vm }) {
  const action = mainAction(vm);
  const { network } = vm;
  return (
    <header class="heading">
      <h1>{vm.name}</h1>
      <StateMark vm={vm} />
      <span class="facts">
        <span>{vm.image}</span>
        <span>
          {vm.cpus} CPU{vm.cpus === 1 ? "" : "s"}, {size(vm.memory_mib * MIB)},{" "}
          {size(vm.disk_bytes)} disk
        </span>
        {network.address && <span class="mono">{network.address}</span>}
        {vm.vmm && <span>{vm.vmm.driver}</span>}
        {vm.startedAt && <span>up {ago(vm.startedAt, now_s.value)}</span>}
        {(network.ports ?? []).map((port) => (
          <PortLink key={`${port.hostAddress}:${port.hostPort}`} port={port} />
        ))}
      </span>
      <span class="heading-actions">
        {action && (
          <Button onClick={() => void act(action, vm)} label={`${verb(action)} ${vm.name}`}>
            {verb(action)}
          </Button>
        )}
        <Menu label={`More actions for ${vm.name}`} items={menuOf(vm)} />
      </span>
      {vm.warning && (
        <p class="warning" role="status">
          {vm.warning}
        </p>
      )}
    </header>
  );
}

function NotRunning({ vm }: { vm: Vm }) {
  const action = mainAction(vm);
  const { exit } = vm;
  return (
    <Empty title={`The machine is ${vm.state}`}>
      {vm.state === "stopped" && exit && (
        <p class="dim">
          Last run: {exit.reason}
          {exit.status === undefined ? "" : `, exit status ${exit.status}`}
        </p>
      )}
      {exit?.detail && <pre class="output">{visible(exit.detail)}</pre>}
      {action && (
        <Button kind="main" onClick={() => void act(action, vm)}>
          {verb(action)}
        </Button>
      )}
    </Empty>
  );
}
