// The form for a new function: a zip dropped anywhere on the page is taken, and its upload shows how far it is.

export function start(el: HTMLElement) {
  const form = el as HTMLFormElement;
  const bar = form.querySelector<HTMLProgressElement>("progress");

  const give = (files: FileList) => {
    const input = form.querySelector<HTMLInputElement>("input[type=file]");
    if (!input) return;
    input.files = files;
    input.focus();
  };

  const onDrop = (e: DragEvent) => {
    e.preventDefault();
    document.body.classList.remove("dropping");
    const files = e.dataTransfer?.files;
    if (!files?.length) return;
    if (form.querySelector("input[type=file]")) return give(files);
    // Another start is chosen: choose the zip first, then hand the file to the form that comes back.
    document.addEventListener("htmx:afterSettle", () => {
      const input = document.querySelector<HTMLInputElement>("#create input[type=file]");
      if (input) input.files = files;
    }, { once: true });
    form.querySelector<HTMLInputElement>("input[name=template][value=zip]")?.click();
  };
  const onOver = (e: DragEvent) => {
    if (!e.dataTransfer?.types.includes("Files")) return;
    e.preventDefault();
    document.body.classList.add("dropping");
  };
  const onLeave = (e: DragEvent) => {
    if (!e.relatedTarget) document.body.classList.remove("dropping");
  };
  form.addEventListener("htmx:xhr:progress", (e) => {
    const { loaded, total } = (e as CustomEvent<{ loaded: number; total: number }>).detail;
    const hasFile = !!form.querySelector<HTMLInputElement>("input[type=file]")?.files?.length;
    if (!bar || !total || !hasFile) return;
    bar.hidden = false;
    bar.value = (loaded * 100) / total;
  });

  document.addEventListener("drop", onDrop);
  document.addEventListener("dragover", onOver);
  document.addEventListener("dragleave", onLeave);
  return () => {
    document.removeEventListener("drop", onDrop);
    document.removeEventListener("dragover", onOver);
    document.removeEventListener("dragleave", onLeave);
  };
}
