"use strict";
// Everything here comes from the registry's own API: what one may not pull one does not see.

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
const AT_ONCE = 20;

const element = (id) => document.getElementById(id);
const make = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};
const host = location.host;
let credentials = null;
let names = [];

class Refused extends Error {}

async function ask(path, options = {}) {
  const headers = { "X-Wharf-Page": "1", ...options.headers };
  if (credentials) headers.Authorization = credentials;
  const answer = await fetch(path, { ...options, headers, credentials: "omit" });
  if (answer.status === 401) throw new Refused("Log in to see what is here.");
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    throw new Error(problem?.errors?.[0]?.message ?? `The registry answered ${answer.status}.`);
  }
  return answer;
}

const next = (answer) => answer.headers.get("Link")?.match(/<([^>]+)>;\s*rel="next"/)?.[1] ?? null;

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

const short = (digest) => digest.replace("sha256:", "").slice(0, 12);
const layersOf = (manifest) => [manifest.config, ...(manifest.layers ?? [])].filter(Boolean);
const total = (manifest) => layersOf(manifest).reduce((sum, layer) => sum + (layer.size ?? 0), 0);

function platformOf(platform) {
  if (!platform || !platform.os || platform.os === "unknown") return null;
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
}

async function manifest(name, reference) {
  const answer = await ask(`/v2/${name}/manifests/${reference}`, { headers: { Accept: ACCEPT } });
  return answer.json();
}

/// The images of a tag: one, or one for each platform.
async function images(name, reference) {
  const found = await manifest(name, reference);
  if (!found.manifests) {
    let platform = null;
    if (/config.*json$/.test(found.config?.mediaType ?? "") || /container\.image/.test(found.config?.mediaType ?? "")) {
      const config = await (await ask(`/v2/${name}/blobs/${found.config.digest}`)).json().catch(() => ({}));
      platform = platformOf(config);
    }
    return [{ platform: platform ?? found.artifactType ?? "artifact", manifest: found }];
  }
  const parts = found.manifests.map(async (part) => ({
    platform: platformOf(part.platform) ?? part.annotations?.["vnd.docker.reference.type"] ?? "other",
    manifest: await manifest(name, part.digest),
  }));
  return Promise.all(parts);
}

function layers(image) {
  const details = make("details");
  details.append(make("summary", `${image.platform} · ${size(total(image.manifest))} · ${image.manifest.layers?.length ?? 0} layers`));
  const table = make("table");
  const head = make("tr");
  for (const title of ["Digest", "Size", "Type"]) head.append(make("th", title));
  table.append(head);
  for (const layer of layersOf(image.manifest)) {
    const row = make("tr");
    const digest = make("td");
    const code = make("code", short(layer.digest));
    code.title = layer.digest;
    digest.append(code);
    row.append(digest, make("td", size(layer.size ?? 0), "number"), make("td", layer.mediaType ?? ""));
    table.append(row);
  }
  details.append(table);
  return details;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without encryption browsers keep the clipboard to themselves; the old way still works.
    const field = make("textarea", text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function tagLine(name, tag) {
  const line = element("tag").content.firstElementChild.cloneNode(true);
  const command = `docker pull ${host}/${name}:${tag}`;
  line.querySelector(".name").textContent = tag;
  line.querySelector(".command").textContent = command;
  line.querySelector(".copy").addEventListener("click", (event) => copy(command, event.target));
  return line;
}

async function fill(line, name, tag) {
  try {
    const all = await images(name, tag);
    const sizes = all.map((image) => total(image.manifest));
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
    line.querySelector(".size").textContent = least === most ? size(most) : `${size(least)} – ${size(most)}`;
    for (const image of all) line.querySelector(".platforms").append(make("span", image.platform, "platform"));
    line.querySelector(".details").append(...all.map(layers));
  } catch (error) {
    line.querySelector(".platforms").append(make("span", error.message, "wrong"));
  }
}

async function showTags(name, list, path = `/v2/${name}/tags/list?n=${AT_ONCE}`) {
  const answer = await ask(path);
  const { tags } = await answer.json();
  if (!tags?.length && !list.childElementCount) list.append(make("li", "No tags.", "tag"));
  for (const tag of tags ?? []) {
    const line = tagLine(name, tag);
    list.append(line);
    fill(line, name, tag);
  }
  const rest = next(answer);
  if (rest) {
    const more = make("button", "More tags");
    const item = make("li", undefined, "tag");
    item.append(more);
    list.append(item);
    more.addEventListener("click", () => { item.remove(); showTags(name, list, rest); });
  }
}

function repository(name) {
  const item = make("li");
  const button = make("button", name, "repository");
  button.setAttribute("aria-expanded", "false");
  item.append(button);
  let list = null;
  button.addEventListener("click", () => {
    if (!list) {
      list = make("ul", undefined, "tags");
      item.append(list);
      showTags(name, list).catch((error) => list.append(make("li", error.message, "tag wrong")));
    } else {
      list.hidden = !list.hidden;
    }
    button.setAttribute("aria-expanded", String(!list.hidden));
  });
  return item;
}

function show() {
  const wanted = element("filter").value.trim().toLowerCase();
  const list = element("repositories");
  for (const entry of names) {
    entry.item.hidden = !entry.name.includes(wanted);
    if (!entry.item.parentNode) list.append(entry.item);
  }
  const count = names.filter((entry) => !entry.item.hidden).length;
  element("message").textContent = names.length === 0
    ? `Nothing is here yet. Push an image: docker push ${host}/NAME:TAG`
    : `${count} ${count === 1 ? "repository" : "repositories"}`;
}

async function load(path) {
  try {
    const answer = await ask(path);
    const { repositories } = await answer.json();
    names.push(...repositories.map((name) => ({ name, item: repository(name) })));
    element("login").hidden = true;
    show();
    const rest = next(answer);
    element("more").hidden = !rest;
    element("more").onclick = () => load(rest);
  } catch (error) {
    element("message").textContent = error instanceof Refused && !credentials ? "" : error.message;
    if (error instanceof Refused) {
      if (credentials) element("message").textContent = "User or password is wrong.";
      credentials = null;
      element("login").hidden = false;
      element("user").focus();
    }
  }
}

element("host").textContent = host;
element("filter").addEventListener("input", show);
element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const bytes = new TextEncoder().encode(`${element("user").value}:${element("password").value}`);
  credentials = `Basic ${btoa(String.fromCharCode(...bytes))}`;
  load("/v2/_catalog?n=100");
});
load("/v2/_catalog?n=100");
