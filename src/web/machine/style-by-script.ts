/**
 * The emulator writes rules into style elements and colours into style attributes, which the page's policy forbids. It
 * makes both with the document itself, whatever document it is given. So the document makes elements that put rules
 * into a style sheet of script, and elements take the attribute as a property: the policy allows both.
 */

let isDone = false;

export function styleByScript(): void {
  if (isDone) return;
  isDone = true;
  const create = document.createElement.bind(document);
  Object.defineProperty(document, "createElement", {
    value: (name: string, options?: ElementCreationOptions) =>
      name === "style" ? sheetElement(create("span")) : create(name, options),
  });
  const setAttribute = HTMLElement.prototype.setAttribute;
  Object.defineProperty(HTMLElement.prototype, "setAttribute", {
    value(this: HTMLElement, name: string, value: string) {
      if (name === "style") this.style.cssText = value;
      else setAttribute.call(this, name, value);
    },
  });
}

function sheetElement(element: HTMLElement): HTMLElement {
  element.hidden = true;
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (text: string) => sheet.replaceSync(text),
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
