// The page of /api/browse: lists what the caller may call, makes a form of it and shows the answer.
"use strict";

const $ = (id) => document.getElementById(id);
const TOKEN_KEY = "opsplatform.browse.token";
const SAID_BY_DISPATCHER = ["token", "request_id"];
let token = sessionStorage.getItem(TOKEN_KEY) || "";
let methods = [];
let lastId = 0;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function headers() {
  const sent = { "Content-Type": "application/json" };
  if (token) sent.Authorization = "Bearer " + token;
  return sent;
}

async function call(method, params) {
  lastId += 1;
  const body = JSON.stringify({ jsonrpc: "2.0", method, params, id: lastId });
  const response = await fetch("/api", { method: "POST", headers: headers(), body });
  return response.json();
}

async function load() {
  let response = await fetch("/openrpc.json", { headers: headers() });
  if (response.status === 401) {
    useToken("");
    say("令牌无效或已过期，请重新登录。");
    response = await fetch("/openrpc.json");
  }
  const described = await response.json();
  $("version").textContent = "opsplatform " + described.info.version;
  methods = described.methods;
  listMethods();
  open();
}

function listMethods() {
  const wanted = $("filter").value.trim().toLowerCase();
  const chosen = decodeURIComponent(location.hash.slice(1));
  const groups = new Map();
  for (const method of methods) {
    if (!(method.name + " " + method.summary).toLowerCase().includes(wanted)) continue;
    const group = method.tags[0].name;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(method);
  }
  $("methods").replaceChildren(...[...groups].flatMap(([group, found]) => [
    element("h2", { textContent: group }),
    ...found.map((method) => {
      const link = element("a", { href: "#" + method.name, textContent: method.name, title: method.summary });
      if (method.name === chosen) link.setAttribute("aria-current", "true");
      return link;
    }),
  ]));
}

function open() {
  const method = methods.find((one) => one.name === decodeURIComponent(location.hash.slice(1)));
  if (!method) return;
  const params = method.params.filter((param) => !SAID_BY_DISPATCHER.includes(param.name) || method["x-public"] && param.name === "token");
  const form = element("form", {}, ...params.map(field), element("button", { className: "main", textContent: "发送" }));
  const answer = element("pre", { hidden: true });
  answer.setAttribute("role", "status");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, params, form, answer);
  });
  $("method").replaceChildren(
    element("h2", { textContent: method.name }),
    element("p", {}, ...tags(method), element("span", { textContent: method.summary })),
    element("p", { className: "quiet", textContent: method.description || "" }),
    form,
    answer,
    element("details", {}, element("summary", { textContent: "结果的结构" }), element("pre", { textContent: pretty(method.result.schema) })),
  );
}

function tags(method) {
  const texts = [method["x-public"] ? "公开" : "需要权限 " + method["x-permission"]];
  if (method["x-changes"]) texts.push("会修改数据");
  return texts.map((text) => element("span", { className: "tag", textContent: text }));
}

function field(param) {
  const id = "param-" + param.name;
  const label = element("label", { textContent: param.name + (param.required ? " *" : ""), htmlFor: id });
  const input = control(param.schema, param.name);
  input.id = id;
  input.name = param.name;
  const hint = [typeName(param.schema), param.schema.description, limits(param.schema)].filter(Boolean).join(" · ");
  return element("div", { className: "field" }, label, input, element("small", { textContent: hint }));
}

function control(schema, name) {
  if (schema.enum || schema.type === "boolean") {
    const values = schema.enum || [true, false];
    const options = values.map((value) => element("option", { value: JSON.stringify(value), textContent: String(value) }));
    return element("select", {}, element("option", { value: "", textContent: "（不填）" }), ...options);
  }
  if (isText(schema)) return element("input", { type: name.includes("password") ? "password" : "text", autocomplete: "off" });
  if (isNumber(schema)) return element("input", { inputMode: "decimal", autocomplete: "off", placeholder: schema.default ?? "" });
  return element("textarea", { rows: 2, placeholder: "JSON，例如 [\"a\"] 或 {\"a\": 1}" });
}

const isNumber = (schema) => schema.type === "integer" || schema.type === "number";
const isText = (schema) => !schema.enum && kinds(schema).includes("string") && kinds(schema).every((kind) => ["string", "null"].includes(kind));
const kinds = (schema) => (schema.anyOf ? schema.anyOf.flatMap(kinds) : [schema.type || "any"]);
const typeName = (schema) => kinds(schema).join(" | ");
const pretty = (value) => JSON.stringify(value, null, 2);

function limits(schema) {
  const words = { minLength: "最短", maxLength: "最长", minimum: "最小", maximum: "最大", default: "默认" };
  return Object.entries(words).filter(([key]) => key in schema).map(([key, word]) => word + " " + schema[key]).join("，");
}

function read(param, input) {
  const { schema } = param;
  const text = input.value;
  if (text === "" && !(param.required && schema.type === "string")) return undefined;
  if (isText(schema)) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (kinds(schema).includes("string")) return text;
    throw new Error(param.name + "：不是合法的 JSON");
  }
}

async function send(method, params, form, answer) {
  answer.hidden = false;
  answer.className = "";
  answer.textContent = "…";
  try {
    const values = {};
    for (const param of params) {
      const value = read(param, form.elements[param.name]);
      if (value !== undefined) values[param.name] = value;
    }
    const began = performance.now();
    const got = await call(method.name, values);
    answer.className = got.error ? "bad" : "";
    answer.textContent = Math.round(performance.now() - began) + " ms\n" + pretty(got.error || got.result);
  } catch (error) {
    answer.className = "bad";
    answer.textContent = error.message;
  }
}

function useToken(text) {
  token = text.trim();
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
  $("bearer").elements.token.value = token;
}

const say = (text) => { $("notice").textContent = text; };

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = event.target.elements;
  const got = await call("user.verify", { username: fields.username.value, password: fields.password.value });
  say(got.error ? got.error.message : got.result.message);
  if (!got.result || got.result.status !== 0) return;
  fields.password.value = "";
  useToken(got.result.token);
  await load();
});
$("bearer").addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  useToken(event.target.elements.token.value);
  await load();
});
$("forget").addEventListener("click", async () => {
  useToken("");
  say("");
  await load();
});
$("filter").addEventListener("input", listMethods);
window.addEventListener("hashchange", () => {
  listMethods();
  open();
  $("method").focus();
});
useToken(token);
load().catch((error) => say("无法读取接口说明：" + error.message));
