/** What is around every page: navigation, the state of the connection, tasks, dialogs. */
import { Component, type ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { CreatePage } from "#web/create/page.tsx";
import { ImagesPage } from "#web/images/page.tsx";
import { login } from "#web/link/daemon.ts";
import { failureOf } from "#web/link/failure.ts";
import { connection, machineList } from "#web/link/machines.ts";
import { MachinePage } from "#web/machine/page.tsx";
import { MachinesPage } from "#web/machines/page.tsx";
import { Copyable } from "#web/parts/copy.tsx";
import { Dialogs } from "#web/parts/dialog.tsx";
import { Tray } from "#web/parts/tray.tsx";
import { Empty, Trouble } from "#web/parts/trouble.tsx";
import { QuestionBar } from "#web/policy/bar.tsx";
import { SystemPage } from "#web/system/page.tsx";
import { Help, isHelpOpen } from "./help.tsx";
import { addKeys } from "./keys.ts";
import { go, pageHref, route } from "./route.ts";
import { nextTheme, theme } from "./theme.ts";

const PAGES = [
  ["", "Machines"],
  ["new", "Create"],
  ["images", "Images"],
  ["system", "System"],
] as const;

export function Shell() {
  if (login.value === "unknown") return null;
  if (login.value === "out") return <LoggedOut />;
  return <Pages />;
}

function Pages() {
  useEffect(
    () =>
      addKeys({
        "?": () => {
          isHelpOpen.value = true;
        },
        n: () => go(pageHref("new")),
        g: () => go(pageHref("")),
        i: () => go(pageHref("images")),
        c: () => go(pageHref("system")),
      }),
    [],
  );
  const [page = ""] = route.value;
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Bar page={page} />
      {connection.value === "lost" && (
        <p class="banner" role="status">
          The daemon does not answer. Reconnecting…
        </p>
      )}
      <QuestionBar />
      <main id="main" tabIndex={-1}>
        <Boundary key={route.value.join("/")}>
          <Page />
        </Boundary>
      </main>
      <Tray />
      <Dialogs />
      <Help />
    </>
  );
}

function Page() {
  const [page = "", name = "", tab] = route.value;
  switch (page) {
    case "":
    case "machines":
      return <MachinesPage />;
    case "vm":
      return <MachinePage name={name} tab={tab} />;
    case "new":
      return <CreatePage />;
    case "images":
      return <ImagesPage />;
    case "system":
      return <SystemPage />;
    default:
      return (
        <Empty title="No such page" isPage>
          <a href={pageHref("")}>All machines</a>
        </Empty>
      );
  }
}

function Bar({ page }: { page: string }) {
  const count = machineList.value.filter(({ state }) => state === "running").length;
  const subject = page === "vm" ? route.value[1] : page;
  document.title = page === "" ? `banger (${count})` : `${subject} – banger`;
  return (
    <header class="bar">
      <a class="mark" href={pageHref("")} aria-label="banger: all machines">
        banger
      </a>
      <nav aria-label="Pages">
        {PAGES.map(([key, label]) => {
          const isCurrent = key === page || (key === "" && page === "vm");
          return (
            <a key={key} href={pageHref(key)} aria-current={isCurrent ? "page" : undefined}>
              {label}
            </a>
          );
        })}
      </nav>
      <span class={`link-state ${connection.value}`} role="status">
        {connection.value === "live" ? `${count} running` : connection.value}
      </span>
      <button type="button" class="button quiet" onClick={nextTheme}>
        <span class="wide-only">theme&nbsp;</span>
        {theme.value}
      </button>
      <button
        type="button"
        class="button quiet"
        aria-label="Keys"
        onClick={() => {
          isHelpOpen.value = true;
        }}
      >
        ?
      </button>
    </header>
  );
}

function LoggedOut() {
  return (
    <main class="out">
      <h1>banger</h1>
      <p>
        This browser is not logged in. Run this command on the host, and open the address that it
        prints:
      </p>
      <p>
        <Copyable text="banger ui" label="Copy command" />
      </p>
      <p class="dim">An address works once, for five minutes. A login lasts a day.</p>
    </main>
  );
}

/** An error of a page leaves the rest of the UI. */
class Boundary extends Component<{ children: ComponentChildren }, { error?: unknown }> {
  override componentDidCatch(error: unknown): void {
    this.setState({ error });
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <Trouble failure={failureOf(error)} onRetry={() => this.setState({ error: undefined })} />
    );
  }
}
