/** Snapshots and forks, as a tree: what was made of this machine, and of that. */
import type { Snapshot } from "#api/snapshot.ts";
import type { Vm } from "#api/vm.ts";
import { finish } from "#sdk/stream.ts";
import { go, route, vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { machineList, putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { fork, snapshot } from "#web/machines/actions.ts";
import { StateMark } from "#web/machines/state.tsx";
import { Button } from "#web/parts/button.tsx";
import { confirm } from "#web/parts/dialog.tsx";
import { size } from "#web/parts/format.ts";
import { useLoad } from "#web/parts/load.ts";
import { Empty, Trouble } from "#web/parts/trouble.tsx";

const DEPTH_MAX = 8;

export function SnapshotsTab({ vm }: { vm: Vm }) {
  const { value, failure, reload } = useLoad(
    (signal) => daemon.snapshot.list(undefined, { signal }),
    [vm.id],
  );
  const all = value ?? [];
  const { forkOf, snapshot: from } = vm;
  const isOwn = all.some((each) => each.name === from && each.machineId === vm.id);
  const isEmpty = !all.some(({ machineId }) => machineId === vm.id) && forksOf(vm).length === 0;
  return (
    <>
      <div class="toolbar">
        <Button
          onClick={() =>
            void snapshot(vm).then((isMade) => {
              if (isMade) reload();
            })
          }
        >
          Take a snapshot
        </Button>
        <Button isDisabled={vm.state !== "running"} onClick={() => void fork(vm)}>
          Fork
        </Button>
      </div>
      {failure && <Trouble failure={failure} onRetry={reload} />}
      {(forkOf ?? from) && (
        <p class="dim">
          {forkOf ? (
            <>
              A fork of <a href={vmHref(forkOf, "snapshots")}>{forkOf}</a>
            </>
          ) : (
            <>
              {isOwn ? "Restored to" : "Created from"} snapshot {from}
            </>
          )}
        </p>
      )}
      {value && isEmpty && (
        <Empty title="No snapshots and no forks">
          <p class="dim">A snapshot of a running machine holds its memory as well.</p>
        </Empty>
      )}
      <Branch vm={vm} root={vm} all={all} reload={reload} depth={0} />
    </>
  );
}

interface BranchProps {
  /** Whose snapshots and forks are shown. */
  vm: Vm;
  /** Whose page it is. */
  root: Vm;
  all: readonly Snapshot[];
  reload: () => void;
  depth: number;
}

function Branch({ vm, root, all, reload, depth }: BranchProps) {
  const own = all.filter(({ machineId }) => machineId === vm.id);
  const forks = forksOf(vm);
  if (depth > DEPTH_MAX || own.length + forks.length === 0) return null;
  return (
    <ul class="tree">
      {own.map((each) => (
        <li key={each.name}>
          <Line each={each} root={root} reload={reload} />
          <Children of={fromSnapshot(each)} root={root} all={all} reload={reload} depth={depth} />
        </li>
      ))}
      <Children of={forks} root={root} all={all} reload={reload} depth={depth} isList />
    </ul>
  );
}

function Children({
  of,
  isList = false,
  ...rest
}: Omit<BranchProps, "vm"> & { of: readonly Vm[]; isList?: boolean }) {
  const items = of.map((child) => (
    <li key={child.id}>
      <span class="tree-line">
        <span class="dim">machine</span>
        <a href={vmHref(child.name, "snapshots")}>{child.name}</a>
        <StateMark vm={child} />
      </span>
      <Branch {...rest} vm={child} depth={rest.depth + 1} />
    </li>
  ));
  if (items.length === 0) return null;
  return isList ? items : <ul class="tree">{items}</ul>;
}

function Line({ each, root, reload }: { each: Snapshot; root: Vm; reload: () => void }) {
  const { name, memory, size_bytes, createdAt, machineId } = each;
  return (
    <span class="tree-line">
      <span class="dim">snapshot</span>
      <strong>{name}</strong>
      <span class="dim">
        {memory ? "with memory" : "disk only"}, {size(size_bytes)},{" "}
        {new Date(createdAt).toLocaleString()}
      </span>
      <span class="tree-actions">
        {machineId === root.id && (
          <Button kind="quiet" label={`Restore ${name}`} onClick={() => void restore(root, name)}>
            restore
          </Button>
        )}
        <Button
          kind="quiet"
          label={`Branch ${name}: create a machine from it`}
          onClick={() => void branch(name)}
        >
          branch
        </Button>
        <Button
          kind="quiet"
          label={`Remove snapshot ${name}`}
          onClick={() => void removeSnapshot(name).then(reload)}
        >
          remove
        </Button>
      </span>
    </span>
  );
}

function forksOf(vm: Vm): Vm[] {
  return machineList.value.filter(({ forkOf, id }) => forkOf === vm.name && id !== vm.id);
}

/** Without the machine itself, which may have been restored to it. */
function fromSnapshot({ name, machineId }: Snapshot): Vm[] {
  return machineList.value.filter((vm) => vm.snapshot === name && vm.id !== machineId);
}

async function restore(vm: Vm, name: string): Promise<void> {
  const isSure = await confirm(`Restore ${vm.name} to "${name}"?`, {
    body: "What the machine has written since is lost.",
    confirm: "Restore",
    isDanger: true,
  });
  if (!isSure) return;
  const restored = await runTask(`Restore ${vm.name}`, ({ onProgress, signal }) =>
    finish(daemon.vm.restore({ name: vm.id, snapshot: name }, { signal }), onProgress),
  );
  if (restored) putMachine(restored);
}

async function branch(name: string): Promise<void> {
  const made = await runTask(
    `Create a machine from ${name}`,
    ({ onProgress, signal }) =>
      finish(daemon.vm.create({ snapshot: name }, { signal }), onProgress),
    { isLong: true, hrefOf: (vm) => vmHref(vm.name) },
  );
  if (!made) return;
  putMachine(made);
  if (route.value[2] === "snapshots") go(vmHref(made.name, "snapshots"));
}

async function removeSnapshot(name: string): Promise<void> {
  const isSure = await confirm(`Remove snapshot "${name}"?`, { confirm: "Remove", isDanger: true });
  if (isSure) await runTask(`Remove snapshot ${name}`, () => daemon.snapshot.remove({ name }));
}
