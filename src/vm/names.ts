/** Generated machine names, such as "amber-otter". */
import { randomInt } from "node:crypto";

const adjectives =
  "amber bold brisk calm clear coral crisp dusky eager early fair fleet fond frank glad golden " +
  "green hardy hazel humble ivory jolly keen kind light lively lucid mellow merry mild misty " +
  "neat nimble noble pale plain polar proud quick quiet rapid ready royal ruddy rustic sage " +
  "silent silver sleek smart snowy solid spry steady still sunny swift tidy vivid warm wise witty";
const animals =
  "ant badger bat bear beaver bee bison boar crab crane cricket crow deer dove duck eagle eel elk " +
  "falcon ferret finch fox frog gecko goat goose hare hawk heron horse ibex jay kestrel kite koala " +
  "lark lemur lion lizard llama lynx magpie marten mole moose moth newt ocelot orca oriole otter owl " +
  "panda pike pony puffin puma quail rabbit raven robin seal shrew snail sparrow stork swan tern " +
  "tiger toad trout turtle viper vole walrus wasp weasel whale wolf wombat wren yak zebra";

const ATTEMPTS_MAX = 50;

/** A name that `isTaken` does not know; numbered when the words run out. */
export function makeName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const name = `${pick(adjectives)}-${pick(animals)}`;
    if (!isTaken(name)) return name;
  }
  for (;;) {
    const name = `${pick(adjectives)}-${pick(animals)}-${randomInt(1000, 1_000_000)}`;
    if (!isTaken(name)) return name;
  }
}

function pick(words: string): string {
  const list = words.split(" ");
  return list[randomInt(list.length)] ?? "plain";
}
