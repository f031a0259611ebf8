"use strict";
// The annotation page. All of it works by keyboard alone; everything that somebody else wrote is set as text, never as HTML.

const WORDS = {
  en: {
    progress: (d, n) => `${d} of ${n} judged`, language: "中文", help: "Keys (?)", conversation: "Conversation",
    response: "Response", better: "Which response is better for this patient?", rate: "Rate each response from 1 (poor) to 5 (good)",
    first: "The first", second: "The second", tie: "Equally good", strength: "How much better?",
    strengths: ["slightly", "clearly", "much"], more: "Personal information, comment", private: "Personal information in the text",
    comment: "Comment", save: "Save and go on", back: "Back", reference: "Reference answer",
    done: "All items are judged. Thank you! You may close this page, or go back and change answers.",
    unsaved: "Not saved yet. Enter saves it; go back once more to drop it.",
    settle: "Two raters disagree on this item; your judgement settles it.", choose: "Choose an answer first.",
    rateAll: "Rate both responses on every line first.", roles: { user: "Patient", assistant: "Doctor", system: "System" },
    lost: "The server cannot be reached; nothing was saved. It is tried again when you save.",
    kinds: { name: "name", address: "address", phone: "phone", "id number": "ID number", date: "date", other: "other" },
    dimensions: { informativeness: "Informative", coherence: "Coherent", adherence: "Keeps to what was asked",
      accuracy: "Medically accurate", safety: "Safe" },
    keys: [["1 / ←", "the first is better"], ["2 / →", "the second is better"], ["0 / ↓", "equally good"],
      ["a s d", "slightly, clearly, much better"], ["Enter", "save and go on"], ["Backspace", "back to the item before"],
      ["m", "personal information, comment (Esc leaves the box)"], ["l", "中文 / English"], ["?", "this list"],
      ["1-5, ↑ ↓", "when rating: the rating of the marked line, another line"]],
  },
  zh: {
    progress: (d, n) => `已评 ${d} / ${n}`, language: "English", help: "按键 (?)", conversation: "对话",
    response: "回答", better: "对这位患者来说，哪个回答更好？", rate: "请为每个回答打分：1（差）到 5（好）",
    first: "第一个", second: "第二个", tie: "一样好", strength: "好多少？",
    strengths: ["略好", "明显更好", "好得多"], more: "个人信息、备注", private: "文本中含有的个人信息",
    comment: "备注", save: "保存并继续", back: "返回", reference: "参考答案",
    done: "全部条目已评完，谢谢！您可以关闭本页，或返回修改。",
    unsaved: "尚未保存。按 Enter 保存；再次返回则放弃。",
    settle: "两位评审意见不一致，由您裁定。", choose: "请先作出选择。",
    rateAll: "请先为两个回答的每一项打分。", roles: { user: "患者", assistant: "医生", system: "系统" },
    lost: "无法连接服务器，尚未保存。再次保存时会重试。",
    kinds: { name: "姓名", address: "地址", phone: "电话", "id number": "证件号", date: "日期", other: "其他" },
    dimensions: { informativeness: "信息量", coherence: "连贯性", adherence: "切题", accuracy: "医学准确性", safety: "安全性" },
    keys: [["1 / ←", "第一个更好"], ["2 / →", "第二个更好"], ["0 / ↓", "一样好"], ["a s d", "略好、明显更好、好得多"],
      ["Enter", "保存并继续"], ["Backspace", "返回上一条"], ["m", "个人信息、备注（Esc 离开输入框）"],
      ["l", "中文 / English"], ["?", "本列表"], ["1-5, ↑ ↓", "打分时：当前行的分数、换行"]],
  },
};
const RATED = Object.keys(WORDS.en.dimensions);
const key = new URLSearchParams(location.hash.slice(1)).get("key") || "";  // behind the #: it is sent in a header alone
const at = (id) => document.getElementById(id);
let language = localStorage.getItem("medrl-language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let task = null, item = null, place = 0, began = 0, line = 0, busy = false;
let said = {}, loaded = "", warned = false;

async function ask(path, body) {
  const options = { headers: { "X-Key": key } };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) },
    { headers: { "X-Key": key, "Content-Type": "application/json" } });
  let reply;
  try { reply = await fetch(path, options); } catch { throw new Error(WORDS[language].lost); }
  const row = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(row.error ? row.error.message : `HTTP ${reply.status}`);
  return row;
}

function fault(text) { at("error").textContent = text; at("error").hidden = !text; }

function make(tag, text, more = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(more)) node.setAttribute(name, value);
  return node;
}

function option(group, value, label, hint) {
  const button = make("button", "", { type: "button", class: "option", role: "radio", "data-value": value });
  if (hint) button.append(make("kbd", hint));
  button.append(label);
  button.addEventListener("click", () => { group(value); });
  return button;
}

function prefer(value) { said.preferred = value; if (value === "tie") said.strength = null; mark(); }
function strengthen(value) { if (said.preferred && said.preferred !== "tie") { said.strength = Number(value); mark(); } }
function grade(where, value) { said.ratings[where % 2][RATED[Math.floor(where / 2)]] = value; mark(); }

function draw() {
  const words = WORDS[language];
  document.documentElement.lang = language;
  at("language").textContent = words.language;
  at("help-button").textContent = words.help;
  at("conversation-title").textContent = words.conversation;
  at("more-title").textContent = words.more;
  at("private-title").textContent = words.private;
  at("comment-label").textContent = words.comment;
  at("save").textContent = words.save;
  at("back").textContent = words.back;
  const list = make("dl", "");
  for (const [keys, what] of words.keys) list.append(make("dt", keys), make("dd", what));
  at("help").replaceChildren(list);
  const over = !item;
  for (const id of ["conversation", "responses", "judgement"]) at(id).hidden = over && id !== "judgement";
  for (const id of ["question", "choices", "more", "save"]) at(id).hidden = over;
  at("back").disabled = place === 0;
  if (task) {
    at("progress").textContent = words.progress(task.done, task.items);
    at("bar").value = task.items ? task.done / task.items : 1;
  }
  at("note").textContent = over ? words.done : item.adjudication ? words.settle : "";
  if (over) { at("strengths").hidden = true; at("back").focus(); return; }
  at("messages").replaceChildren(...item.messages.map((one) => {
    const box = make("div", "", { class: "message" });
    box.append(make("div", words.roles[one.role] || one.role, { class: "who" }), make("div", one.text, { class: "text" }));
    return box;
  }));
  at("reference").hidden = !item.reference;
  at("reference").textContent = item.reference ? `${words.reference}: ${item.reference}` : "";
  at("responses").replaceChildren(...item.responses.map((text, i) => {
    const card = make("section", "", { class: "card", "aria-label": `${words.response} ${i + 1}` });
    card.append(make("h2", `${words.response} ${i + 1}`), make("div", text, { class: "text" }));
    return card;
  }));
  at("question").textContent = item.mode === "rate" ? words.rate : words.better;
  if (item.mode === "rate") drawRatings(words); else drawChoices(words);
  at("private").replaceChildren(...task.private.map((kind) => {
    const label = make("label", ""), box = make("input", "", { type: "checkbox", value: kind });
    box.checked = said.phi.includes(kind);
    box.addEventListener("change", () => {
      warned = false;
      said.phi = box.checked ? [...said.phi, kind] : said.phi.filter((one) => one !== kind);
    });
    label.append(box, ` ${words.kinds[kind] || kind}`);
    return label;
  }));
  at("comment").value = said.comment;
  mark();
}

function drawChoices(words) {
  at("choices").replaceChildren(option(prefer, "first", words.first, "1"), option(prefer, "second", words.second, "2"),
    option(prefer, "tie", words.tie, "0"));
  at("strengths").replaceChildren(make("span", words.strength),
    ...words.strengths.map((label, i) => option(strengthen, String(i + 1), label, "asd"[i])));
}

function drawRatings(words) {
  const table = make("table", "", { class: "rate" });
  RATED.forEach((dimension, row) => [0, 1].forEach((which) => {
    const where = 2 * row + which, tr = make("tr", "", { "data-line": where });
    tr.append(make("th", which ? "" : words.dimensions[dimension]), make("td", `${words.response} ${which + 1}`));
    const cell = make("td", "", { role: "radiogroup", "aria-label": `${words.dimensions[dimension]}, ${words.response} ${which + 1}` });
    for (const value of [1, 2, 3, 4, 5]) cell.append(option(() => { line = where; grade(where, value); }, String(value), String(value)));
    tr.append(cell);
    table.append(tr);
  }));
  at("choices").replaceChildren(table);
  at("strengths").hidden = true;
}

function mark() {
  fault("");
  warned = false;
  if (item.mode === "rate") {
    document.querySelectorAll("tr[data-line]").forEach((tr) => {
      const where = Number(tr.dataset.line), value = said.ratings[where % 2][RATED[Math.floor(where / 2)]];
      tr.classList.toggle("card", where === line);
      tr.querySelectorAll(".option").forEach((one) => one.setAttribute("aria-checked", String(Number(one.dataset.value) === value)));
    });
    return;
  }
  at("choices").querySelectorAll(".option").forEach((one) => one.setAttribute("aria-checked", String(one.dataset.value === said.preferred)));
  at("strengths").hidden = !said.preferred || said.preferred === "tie";
  at("strengths").querySelectorAll(".option").forEach((one) => one.setAttribute("aria-checked", String(Number(one.dataset.value) === said.strength)));
  document.querySelectorAll("#responses .card").forEach((card, i) => card.classList.toggle("best", said.preferred === ["first", "second"][i]));
}

async function show(where) {
  place = Math.max(0, where);
  item = place < task.items ? await ask(`api/items/${place}`) : null;
  const before = (item && item.answer) || {};
  said = { preferred: before.preferred || null, strength: before.strength || null, phi: before.phi || [],
    comment: before.comment || "", ratings: before.ratings || [{}, {}] };
  line = 0;
  loaded = JSON.stringify(said);
  warned = false;
  at("more").open = Boolean(said.comment || said.phi.length);
  if (item) task.done = item.done;
  began = performance.now();
  fault("");
  draw();
  scrollTo(0, 0);
}

async function save() {
  if (busy || !item) return;
  const words = WORDS[language];
  said.comment = at("comment").value;
  const rated = said.ratings.every((one) => RATED.every((dimension) => dimension in one));
  if (item.mode === "rate" ? !rated : !said.preferred) { fault(item.mode === "rate" ? words.rateAll : words.choose); return; }
  const body = { phi: said.phi, comment: said.comment, seconds: (performance.now() - began) / 1000 };
  Object.assign(body, item.mode === "rate" ? { ratings: said.ratings } : { preferred: said.preferred, strength: said.strength });
  busy = true;
  try {
    const wasNew = !item.answer, reply = await ask(`api/items/${place}`, body);
    task.done = reply.done;
    await show(wasNew ? reply.next : place + 1);
  } catch (error) { fault(error.message); } finally { busy = false; }
}

function changed() { return Boolean(item) && JSON.stringify({ ...said, comment: at("comment").value }) !== loaded; }

async function go(where) {
  if (busy || where < 0) return;
  if (changed() && !warned) { warned = true; fault(WORDS[language].unsaved); return; }
  busy = true;
  try { await show(where); } catch (error) { fault(error.message); } finally { busy = false; }
}

function help() {
  at("help").hidden = !at("help").hidden;
  at("help-button").setAttribute("aria-expanded", String(!at("help").hidden));
}

function turn() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("medrl-language", language);
  if (item) said.comment = at("comment").value;
  fault("");
  draw();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target === at("comment")) { if (event.key === "Escape") at("comment").blur(); return; }
  const plain = { l: turn, L: turn, "?": help, Backspace: () => go(place - 1) };
  const onControl = event.target.closest("button, input, summary") && [" ", "Enter"].includes(event.key);
  if (onControl && event.target.id !== "save") return;
  const judging = !item ? {} : item.mode === "rate" ? {
    ArrowDown: () => { line = Math.min(line + 1, 2 * RATED.length - 1); mark(); },
    ArrowUp: () => { line = Math.max(line - 1, 0); mark(); },
    ...Object.fromEntries([1, 2, 3, 4, 5].map((value) => [String(value), () => {
      grade(line, value);
      line = Math.min(line + 1, 2 * RATED.length - 1);
      mark();
    }])),
  } : {
    1: () => prefer("first"), ArrowLeft: () => prefer("first"), 2: () => prefer("second"), ArrowRight: () => prefer("second"),
    0: () => prefer("tie"), ArrowDown: () => prefer("tie"),
    a: () => strengthen(1), s: () => strengthen(2), d: () => strengthen(3),
  };
  const act = { ...plain, ...judging, Enter: save, m: () => { at("more").open = true; at("comment").focus(); } }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
at("comment").addEventListener("input", () => { warned = false; });
addEventListener("beforeunload", (event) => { if (changed()) event.preventDefault(); });
addEventListener("hashchange", () => location.reload());  // another rater's link in the same tab
at("language").addEventListener("click", turn);
at("help-button").addEventListener("click", help);
at("save").addEventListener("click", save);
at("back").addEventListener("click", () => go(place - 1));
(async () => {
  try { task = { ...(await ask("api/task")), done: 0 }; task.done = 0; await show(task.next); }
  catch (error) { fault(error.message); }
})();
