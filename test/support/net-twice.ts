/** Tests of networks, as root has them and as an ordinary user has them in a namespace. */
import { testNeeding } from "./needs.ts";
import { type LabOptions, NetLab } from "./net-lab.ts";

export interface TwiceOptions {
  /** Programs, besides those that every network takes. */
  needs?: string[];
  /** Also in runs that are to be short; the others run as a user where BANGER_TEST_ROOTLESS is "all". */
  isShort?: boolean;
}

export type MakeLab = (options?: LabOptions) => Promise<NetLab>;

/** Defines two tests, which each get labs of their kind. */
export function networkTest(
  title: string,
  body: (makeLab: MakeLab) => Promise<void>,
  { needs = [], isShort = false }: TwiceOptions = {},
): void {
  const programs = ["root", "ip", "nft", ...needs] as const;
  testNeeding(...programs)(title, () => body((options) => NetLab.create(options)));
  if (!isShort && process.env["BANGER_TEST_ROOTLESS"] !== "all") return;
  testNeeding(...programs, "pasta")(`${title}, without root`, () =>
    body((options) => NetLab.create({ ...options, rootless: true })),
  );
}
