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

// --- talking to the platform ---

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
    say("令牌无效或已过期，请重新登录。", true);
    response = await fetch("/openrpc.json");
  }
  const described = await response.json();
  $("version").textContent = "opsplatform " + described.info.version;
  methods = described.methods;
  listMethods();
}

// --- the list and one method ---

const chosenName = () => decodeURIComponent(location.hash.slice(1));

function listMethods() {
  const wanted = $("filter").value.trim().toLowerCase();
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
      if (method.name === chosenName()) link.setAttribute("aria-current", "true");
      return link;
    }),
  ]));
  if (!groups.size) $("methods").append(element("p", { className: "quiet", textContent: "没有匹配的方法。" }));
}

function open() {
  if (!chosenName()) return;
  const method = methods.find((one) => one.name === chosenName());
  if (!method) {
    const text = "这里没有方法 " + chosenName() + "：名称不对，或者需要先登录并拥有权限。";
    $("method").replaceChildren(element("p", { className: "quiet", textContent: text }));
    return;
  }
  const params = method.params.filter((param) => !SAID_BY_DISPATCHER.includes(param.name) || method["x-public"] && param.name === "token");
  const form = element("form", {}, ...params.map(field), element("button", { className: "main", textContent: "发送" }));
  const answer = element("section", { className: "answer", hidden: true });
  answer.setAttribute("role", "status");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method, params, form, answer);
  });
  $("method").replaceChildren(
    element("h2", { textContent: method.name }),
    element("p", { className: "tags" }, ...tags(method)),
    element("p", { className: "text" }, ...marked(method.summary)),
    element("p", { className: "text quiet" }, ...marked(method.description || "")),
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

// Texts come from docstrings, where `names` stand between backticks.
const marked = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", { textContent: part }) : part));
const pretty = (value) => JSON.stringify(value, null, 2);

// --- one param: its schema, its control, its value ---

// A schema without its null, and whether null was allowed.
function core(schema) {
  const choices = schema.anyOf || [schema];
  const real = choices.filter((one) => one.type !== "null");
  return { schema: real.length === 1 ? { ...real[0], default: schema.default } : {}, nullable: real.length < choices.length };
}

const isNumber = (schema) => schema.type === "integer" || schema.type === "number";
const isText = (schema) => schema.type === "string" && !schema.enum;
const typeName = (schema) => (schema.type || "任意 JSON") + (schema.format ? " (" + schema.format + ")" : "");

function field(param) {
  const id = "param-" + param.name;
  const { schema, nullable } = core(param.schema);
  const label = element("label", { textContent: param.name + (param.required ? " *" : ""), htmlFor: id });
  const input = control(schema, param);
  input.id = id;
  input.name = param.name;
  const empty = param.required && nullable ? "留空即 null" : "";
  const hint = [typeName(schema), limits(schema), empty].filter(Boolean).join(" · ");
  return element("div", { className: "field" }, label, input, element("small", { textContent: hint }));
}

function control(schema, param) {
  if (schema.enum || schema.type === "boolean") {
    const values = schema.enum || [true, false];
    const options = values.map((value) => element("option", { value: JSON.stringify(value), textContent: String(value) }));
    return element("select", {}, element("option", { value: "", textContent: "（不填）" }), ...options);
  }
  if (isText(schema)) return element("input", { type: param.name.includes("password") ? "password" : "text", autocomplete: "off" });
  if (isNumber(schema)) return element("input", { inputMode: "decimal", autocomplete: "off", placeholder: schema.default ?? "" });
  const example = schema.type === "array" ? "[\"a\", \"b\"]" : "{\"a\": 1}";
  return element("textarea", { rows: 3, spellcheck: false, placeholder: "JSON，例如 " + example });
}

function limits(schema) {
  const words = {
    minLength: "最短", maxLength: "最长", minimum: "最小", maximum: "最大", minItems: "最少", maxItems: "最多", pattern: "格式", default: "默认",
  };
  // The largest id there can be tells nobody anything.
  const told = ([key]) => schema[key] !== undefined && !(schema[key] >= Number.MAX_SAFE_INTEGER);
  return Object.entries(words).filter(told).map(([key, word]) => word + " " + schema[key]).join("，");
}

function read(param, input) {
  const { schema, nullable } = core(param.schema);
  const text = input.value;
  if (text === "" && param.required && nullable) return null;
  if (text === "" && !(param.required && isText(schema))) return undefined;
  if (isText(schema)) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(param.name + "：" + (isNumber(schema) ? "不是数字" : "不是合法的 JSON"));
  }
}

// --- sending, and what came back ---

async function send(method, params, form, answer) {
  const button = form.querySelector("button.main");
  button.disabled = true;
  markWrong(form, {});
  try {
    const values = {};
    for (const param of params) {
      const value = read(param, form.elements[param.name]);
      if (value !== undefined) values[param.name] = value;
    }
    const began = performance.now();
    const got = await call(method.name, values);
    const took = Math.round(performance.now() - began) + " ms";
    if (got.error) {
      show(answer, "错误 " + got.error.code + " · " + took, pretty(got.error), true);
      markWrong(form, got.error.data?.errors || {});
    } else {
      show(answer, "成功 · " + took, pretty(got.result), false);
      await takeOver(got.result);
    }
  } catch (error) {
    show(answer, error.message, "", true);
  }
  button.disabled = false;
}

function show(answer, title, text, bad) {
  answer.hidden = false;
  answer.classList.toggle("bad", bad);
  answer.replaceChildren(element("p", { textContent: title }), element("pre", { textContent: text, hidden: !text }));
  answer.scrollIntoView({ block: "nearest" });
}

// Errors are named by path, as variables.name; each goes below the param it begins with.
function markWrong(form, errors) {
  form.querySelectorAll(".wrong").forEach((one) => one.remove());
  for (const [path, sentences] of Object.entries(errors)) {
    const input = form.elements[path.split(".")[0]];
    if (!input) continue;
    const prefix = path === input.name ? "" : path + "：";
    input.parentElement.append(element("small", { className: "wrong", textContent: prefix + sentences.join(" ") }));
  }
}

// A login by the method's own form counts as well as one by the form above.
async function takeOver(result) {
  if (typeof result?.token !== "string" || typeof result?.refresh_token !== "string") return;
  useToken(result.token);
  say(result.message || "已使用新的令牌");
  await load();
}

// --- the login ---

function useToken(text) {
  token = text.trim();
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
  $("bearer").elements.token.value = token;
  $("login").hidden = Boolean(token);
  $("forget").hidden = !token;
}

function say(text, bad = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("bad", bad);
}

const unreachable = (error) => say("无法连接平台：" + error.message, true);

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = event.target.elements;
  try {
    const got = await call("user.verify", { username: fields.username.value, password: fields.password.value });
    if (got.error || got.result.status !== 0) {
      say(got.error ? got.error.message : got.result.message, true);
      return;
    }
    fields.password.value = "";
    await takeOver(got.result);
    open();
  } catch (error) {
    unreachable(error);
  }
});
$("bearer").addEventListener("submit", (event) => {
  event.preventDefault();
  say("");
  useToken(event.target.elements.token.value);
  load().then(open, unreachable);
});
$("forget").addEventListener("click", () => {
  useToken("");
  say("");
  load().then(open, unreachable);
});
$("filter").addEventListener("input", listMethods);
window.addEventListener("hashchange", () => {
  listMethods();
  open();
  $("method").focus();
});
useToken(token);
load().then(open, unreachable);
