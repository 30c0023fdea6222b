// The dashboard: asks the admin endpoints now and then, and shows what they say.
// Whatever the service says is put into the page as text, never as markup. A field that is missing is left out.

const LIVE_MS = 10_000;
const SAVINGS_MS = 300_000;
const KEY = "headrace-admin-key";
const byId = (id) => document.getElementById(id);

// -- elements ---------------------------------------------------------------------------------------------------------

// A budget is a target that the spend swings around.
const SLACK = 1.02;
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const el = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);
const empty = (text) => el("p", { class: "empty" }, text);
const show = (id, ...children) => byId(id).replaceChildren(...children.filter(Boolean));

// -- values -----------------------------------------------------------------------------------------------------------

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const list = (value) => (Array.isArray(value) ? value : []);
const entries = (value) => (value && typeof value === "object" ? Object.entries(value) : []);
const NONE = "–";
const MINUS = "−";

function decimal(value, digits) {
  if (!isNumber(value)) return NONE;
  const shown = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (value < 0 && Number(shown.replaceAll(",", "")) !== 0 ? MINUS : "") + shown;
}

const whole = (value) => decimal(value, 0);
const percent = (value, digits = 0) => (isNumber(value) ? `${decimal(100 * value, digits)} %` : NONE);

/** Dollars with two to three figures that count, however small. */
function usd(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  const digits = size >= 0.995 || size === 0 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size)));
  // A word joiner: a minus must not end a line.
  return `${value < 0 ? `${MINUS}\u2060` : ""}$${decimal(size, digits)}`;
}

const perThousand = (value) => (isNumber(value) ? usd(1000 * value) : NONE);
const points = (value) => (isNumber(value) ? `${value > 0 ? "+" : ""}${decimal(value, 1)}` : NONE);
const between = (interval, format) => `${format(interval.low)} to ${format(interval.high)}`;
const word = (name) => String(name).replaceAll("_", " ");

function time(seconds) {
  return isNumber(seconds) ? new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : NONE;
}

/** What has no form of its own: `name: value` of each field, in the order of the reply. */
function plain(value) {
  if (value === null || value === undefined) return NONE;
  if (isNumber(value)) return String(Number(value.toPrecision(4)));
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value === "object") return entries(value).map(([name, inner]) => `${word(name)}: ${plain(inner)}`).join(" · ");
  return String(value);
}

// -- pictures ---------------------------------------------------------------------------------------------------------

/** An interval on a track from `from` to `to`, the estimate as a mark; told in words to who cannot see it. */
function intervalBar({ low, high, estimate, from = 0, to = 1, zero = null, label }) {
  const at = (value) => 200 * Math.min(1, Math.max(0, (value - from) / (to - from)));
  const parts = [svg("rect", { class: "track", x: 0, y: 4, width: 200, height: 4, rx: 2 })];
  if (isNumber(low) && isNumber(high)) {
    parts.push(svg("rect", { class: "band", x: at(low), y: 3, width: Math.max(1, at(high) - at(low)), height: 6, rx: 2 }));
  }
  if (isNumber(zero)) parts.push(svg("rect", { class: "zero", x: at(zero) - 0.5, y: 0, width: 1, height: 12 }));
  if (isNumber(estimate)) parts.push(svg("rect", { class: "mark", x: Math.min(197, Math.max(0, at(estimate) - 1.5)), y: 1, width: 3, height: 10, rx: 1.5 }));
  return svg("svg", { class: "bar", viewBox: "0 0 200 12", preserveAspectRatio: "none", role: "img", "aria-label": label }, parts);
}

function shareBar(share, label) {
  const width = 200 * Math.min(1, Math.max(0, share));
  const fill = svg("rect", { class: share > SLACK ? "over" : "mark", x: 0, y: 4, width, height: 4, rx: 2 });
  const track = svg("rect", { class: "track", x: 0, y: 4, width: 200, height: 4, rx: 2 });
  return svg("svg", { class: "bar", viewBox: "0 0 200 12", preserveAspectRatio: "none", role: "img", "aria-label": label }, track, fill);
}

const told = (value, bar) => el("span", { class: "told" }, el("span", { class: "value" }, value), bar);

function pill(text, kind = "") {
  return el("span", { class: `pill ${kind}` }, text);
}

let captions = 0;

/** A table with row headers; `columns` are [title, cell of a row, class]. Columns that are empty throughout stay away. */
function table(caption, columns, rows) {
  const cells = rows.map((row) => columns.map(([, cell]) => cell(row)));
  const kept = columns.map((_, at) => at).filter((at) => at === 0 || cells.some((row) => row[at] !== null));
  const head = kept.map((at) => el("th", { scope: "col", class: columns[at][2] }, columns[at][0]));
  const body = cells.map((row) =>
    el("tr", {}, kept.map((at) => {
      const header = at === 0 ? { scope: "row" } : {};
      return el(at === 0 ? "th" : "td", { ...header, class: columns[at][2] }, row[at] ?? NONE);
    })),
  );
  // Beside the table, since a caption would be cut off where the table is wider than the screen.
  const named = `caption-${(captions += 1)}`;
  const made = el("table", { "aria-labelledby": named }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
  const scrolling = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": named }, made);
  return el("div", {}, el("p", { class: "caption", id: named }, caption), scrolling);
}

function terms(pairs) {
  const kept = pairs.filter(([, value]) => value !== null && value !== undefined && value !== NONE);
  return el("dl", {}, kept.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function card(title, figure, note) {
  return el("section", { class: "card" }, el("h2", {}, title), el("p", { class: "figure" }, figure), el("p", {}, note));
}

// -- sections ---------------------------------------------------------------------------------------------------------

const STATES = { on: ["Learning", "good"], frozen: ["Frozen", "warn"], off: ["Not learning", "bad"] };

function showState({ learner }) {
  const [text, kind] = STATES[learner?.state] ?? [learner?.state ?? "No answer", "warn"];
  byId("state").textContent = text;
  byId("state").className = `pill ${kind}`;
  byId("reason").textContent = learner?.reason ?? "";
}

/** The objective in words, and the share of it that is used where it limits the spend. */
function objectiveOf(objective, meanUsd) {
  switch (objective?.kind) {
    case "budget": {
      const used = isNumber(meanUsd) ? meanUsd / objective.usd_per_request : null;
      return { text: `${percent(used)} of the budget of ${perThousand(objective.usd_per_request)}`, used };
    }
    case "quality_floor": return { text: `the least that gives ${percent(objective.quality)} good answers`, used: null };
    case "tradeoff": return { text: `a point of quality is worth ${perThousand(objective.usd_per_point)}`, used: null };
    case "quality": return { text: "the best quality, whatever it costs", used: null };
    default: return { text: "", used: null };
  }
}

/** A measured figure against the best single model; none as long as there are too few controls to go by. */
function measuredCard(title, against, interval, format) {
  if (!against?.enough || !isNumber(interval?.estimate)) {
    return card(title, NONE, `too few controls to go by yet: ${whole(against?.n ?? 0)}`);
  }
  return card(title, format(interval.estimate), `${between(interval, format)}, against the best single model`);
}

function showGlance({ learner, spend, objective, savings }) {
  const requests = learner?.requests;
  const mean = isNumber(requests) && requests > 0 && isNumber(spend?.total_usd) ? spend.total_usd / requests : null;
  const best = savings?.against?.best_single;
  show(
    "glance",
    card("Requests", whole(requests), isNumber(learner?.feedback_events) ? `${whole(learner.feedback_events)} feedback values` : ""),
    card("Spend per 1,000 requests", perThousand(mean), objectiveOf(objective, mean).text),
    measuredCard("Saved", best, best?.saved_share, percent),
    measuredCard("Quality, in points", best, best?.quality_points, points),
  );
}

/** The saved share; where the service costs more than the control, how many times as much. */
function savedTerm(saved) {
  if (!isNumber(saved.estimate) || saved.estimate >= 0) {
    return ["Saved", isNumber(saved.estimate) ? `${percent(saved.estimate)} (${between(saved, percent)})` : null];
  }
  const times = (share) => `${decimal(1 - share, 1)} ×`;
  return ["Costs", `${times(saved.estimate)} as much (${times(saved.high)} to ${times(saved.low)})`];
}

function savingsAgainst(title, against) {
  const models = entries(against.models).map(([model, n]) => `${model} (${whole(n)})`).join(", ");
  const saved = against.saved_share ?? {};
  const quality = against.quality_points ?? {};
  const money = against.saved_total_usd ?? {};
  const costs = `${perThousand(against.cost_usd?.auto)} against ${perThousand(against.cost_usd?.control)} per 1,000`;
  const reach = Math.min(100, Math.max(10, Math.abs(quality.low ?? 0), Math.abs(quality.high ?? 0)));
  const qualityBar = isNumber(quality.low)
    ? intervalBar({ ...quality, from: -reach, to: reach, zero: 0, label: `${points(quality.estimate)} points, ${between(quality, points)}` })
    : null;
  return el(
    "div", {},
    el("h3", {}, title),
    el("p", { class: "quiet" }, models || "no request yet", against.n ? `; ${whole(against.n)} requests, ${whole(against.rated)} of the answers rated` : ""),
    terms([
      ["Cost", isNumber(against.cost_usd?.control) ? costs : null],
      savedTerm(saved),
      ["Saved in all", isNumber(money.estimate) ? `${usd(money.estimate)} (${between(money, usd)})` : null],
      ["Quality", isNumber(quality.estimate) ? told(`${points(quality.estimate)} points (${between(quality, points)})`, qualityBar) : null],
    ]),
    against.enough === false ? el("p", { class: "warn" }, "Not enough to go by: ", against.reason ?? "", ".") : null,
  );
}

function showSavings({ savings }) {
  if (!savings) return;
  const { period = {}, against = {}, control = {} } = savings;
  const span = `${time(period.since)} to ${time(period.until)}`;
  const share = control.share === 0
    ? "The control share is 0: nothing is measured (control.share in the configuration)."
    : `${whole(control.requests)} of ${whole(savings.requests)} requests were answered by a control alone, drawn by lot; all else that the service spends is in its cost.`;
  show(
    "savings",
    el("div", { class: "against" },
      against.best_single ? savingsAgainst("Against the best single model", against.best_single) : null,
      against.cheapest ? savingsAgainst("Against the cheapest model", against.cheapest) : null),
    el("p", { class: "quiet" }, share, " ", span, ". Intervals are at 95 %."),
  );
}

const KINDS = { active: "good", exploring: "warn", registered: "warn", quarantined: "bad", draining: "warn" };

function showModels({ learner, models }) {
  const learned = learner?.models ?? {};
  const ids = [...new Set([...list(models?.data).map((row) => row.id), ...Object.keys(learned)])];
  if (!ids.length) return show("models", empty("There is no model in the pool."));
  const pool = Object.fromEntries(list(models?.data).map((row) => [row.id, row]));
  const rows = ids.map((id) => ({ id, ...learned[id], ...(pool[id] ? { state: pool[id].state, entry: pool[id] } : {}) }));
  rows.sort((a, b) => (b.share ?? 0) - (a.share ?? 0));
  const quality = ({ id, quality: mean, interval }) => {
    const [low, high] = list(interval);
    const label = `quality of ${id}: ${percent(mean)}, between ${percent(low)} and ${percent(high)}`;
    return isNumber(mean) ? told(percent(mean), intervalBar({ low, high, estimate: mean, label })) : null;
  };
  const share = ({ id, share: part }) => (isNumber(part) ? told(percent(part), shareBar(part, `share of ${id}: ${percent(part)}`)) : null);
  const why = ({ reason, entry, onboarding, routable }) =>
    routable === false ? "asked by name or as a judge only" : reason || entry?.reason || (onboarding ? plain(onboarding) : null);
  show("models", table("Quality is what is believed, with its 95 % interval; the share is that of recent answers.", [
    ["Model", (row) => row.id],
    ["State", ({ state }) => (state ? pill(state, KINDS[state]) : null)],
    ["Quality", quality, "wide"],
    ["Share", share, "wide"],
    ["Cost per 1,000 calls", ({ cost_usd }) => (isNumber(cost_usd) ? perThousand(cost_usd) : null), "number"],
    ["Latency", ({ latency_s }) => (isNumber(latency_s) ? `${decimal(latency_s, 2)} s` : null), "number"],
    ["Observations", ({ observations }) => (isNumber(observations) ? whole(observations) : null), "number"],
    ["Remarks", why, "remark"],
  ], rows));
}

function showSpend({ learner, spend, objective }) {
  if (!spend) return;
  const total = spend.total_usd;
  const rows = [
    ["Answers, with what they caused before them", spend.requests_usd],
    ["In the background", spend.background_usd],
    ["of all, exploration", spend.exploration_usd],
    ["of all, judges", spend.judges_usd],
  ].filter(([, value]) => isNumber(value));
  const mean = learner?.requests > 0 && isNumber(total) ? total / learner.requests : null;
  const { text, used } = objectiveOf(objective, mean);
  const caps = spend.exploration?.caps;
  show(
    "spend",
    table(`${usd(total)} in all`, [
      ["For", ([name]) => name],
      ["USD", ([, value]) => usd(value), "number"],
      ["Share", ([name, value]) => (total > 0 ? told(percent(value / total, 1), shareBar(value / total, `share of ${name}: ${percent(value / total, 1)}`)) : null), "wide"],
    ], rows),
    el("p", {}, "Objective: ", text || NONE, "."),
    used === null ? null : shareBar(used, text),
    isNumber(caps?.today_usd)
      ? el("p", {}, `Exploration: ${usd(caps.today_usd)} today of at most ${usd(caps.max_usd_per_day)}, ${percent(caps.share, 1)} of all spend of at most ${percent(caps.max_share)}.`)
      : null,
  );
}

function showJudges({ learner }) {
  const rows = entries(learner?.judges).map(([id, judge]) => ({ id, ...judge }));
  if (!rows.length) return show("judges", empty("No judge has been heard."));
  show("judges", table("A weight of 0 says nothing; a calibration error of 0 is best.", [
    ["Judge", (row) => row.id],
    ["Weight", ({ weight }) => (isNumber(weight) ? decimal(weight, 2) : null), "number"],
    ["Calibration error", ({ ece }) => (isNumber(ece) ? decimal(ece, 3) : null), "number"],
    ["Labels", ({ n }) => (isNumber(n) ? whole(n) : null), "number"],
    ["Asked", ({ asked }) => (isNumber(asked) ? percent(asked) : null), "number"],
  ], rows));
}

function showDrift({ learner }) {
  const alarms = list(learner?.drift).slice(-10).reverse();
  if (!alarms.length) return show("drift", empty("No alarm: every model behaves as it is known."));
  const named = new Set(["model", "kind", "quantity", "category", "at", "at_s"]);
  show("drift", table("The latest alarms, the newest first.", [
    ["Model", (alarm) => alarm.model ?? NONE],
    ["Of", (alarm) => alarm.kind ?? alarm.quantity ?? null],
    ["In", (alarm) => alarm.category ?? null],
    ["At", (alarm) => (isNumber(alarm.at ?? alarm.at_s) ? time(alarm.at ?? alarm.at_s) : null)],
    ["What was seen", (alarm) => plain(Object.fromEntries(entries(alarm).filter(([name]) => !named.has(name))))],
  ], alarms));
}

function showPolicy({ learner, policies }) {
  const rows = list(policies?.data).slice(-10).reverse();
  const inForce = learner?.policy;
  const registry = policies?.registry;
  const gain = isNumber(policies?.contest?.gain?.mean) ? policies.contest.gain : null;
  show(
    "policy",
    el("p", {}, "In force: ", el("code", {}, inForce ?? NONE)),
    rows.length ? table("Versions", [
      ["Version", (row) => String(row.name ?? row.version ?? NONE)],
      ["State", (row) => row.state ?? ((row.name ?? row.version) === inForce ? "in force" : null)],
      ["Share", (row) => (isNumber(row.share) ? percent(row.share) : null), "number"],
      ["Parameters", (row) => (row.parameters ? plain(row.parameters) : null)],
      ["Why", (row) => row.reason ?? null],
    ], rows) : null,
    gain ? el("p", {}, `The newer version gains ${decimal(gain.mean, 3)} in utility (${decimal(gain.low, 3)} to ${decimal(gain.high, 3)}) on ${whole(policies.contest.requests)} requests.`) : null,
    registry ? el("p", { class: "quiet" }, "Registry: ", plain(registry)) : null,
  );
}

function showJobs({ jobs }) {
  const rows = list(jobs?.data);
  if (!rows.length) return show("jobs", empty("No job is known."));
  show("jobs", table("Jobs run by themselves; POST /v1/admin/jobs/NAME/run runs one now.", [
    ["Job", (job) => job.name],
    ["Every", ({ every_s }) => (isNumber(every_s) ? span(every_s) : null), "number"],
    ["Last run", ({ last }) => (last ? time(last.ran_at) : "not yet")],
    ["Result", ({ last }) => (last ? outcome(last.result) : null)],
  ], rows));
}

function outcome(result) {
  const trouble = result?.error ?? (result?.state === "down" ? result.reason ?? "down" : null);
  return trouble ? el("span", { class: "bad" }, String(trouble)) : "done";
}

function span(seconds) {
  const [size, unit] = seconds % 86_400 === 0 ? [86_400, "d"] : seconds % 3_600 === 0 ? [3_600, "h"] : seconds % 60 === 0 ? [60, "min"] : [1, "s"];
  return `${whole(seconds / size)} ${unit}`;
}

// -- asking -----------------------------------------------------------------------------------------------------------

const PATHS = {
  learner: "learner", spend: "spend", objective: "objective", models: "models", policies: "policies", jobs: "jobs",
  savings: "savings",
};
const SECTIONS = [showState, showGlance, showSavings, showModels, showSpend, showJudges, showDrift, showPolicy, showJobs];
const known = {};
let savingsAt = -Infinity;
let isLooking = false;

class KeyNeeded extends Error {}

async function ask(path) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const reply = await fetch(`/v1/admin/${path}`, { headers, cache: "no-store", credentials: "omit" });
  if (reply.status === 401 || reply.status === 403) {
    const error = await reply.json().catch(() => null);
    const lacking = reply.status === 403 ? error?.error?.message : null;
    throw new KeyNeeded(key ? (lacking ?? "This key is wrong or revoked.") : "");
  }
  // An endpoint that is not there, or fails, leaves its part of the page as it was.
  return reply.ok ? reply.json() : undefined;
}

async function look() {
  const isSavingsTurn = performance.now() - savingsAt >= SAVINGS_MS;
  const wanted = Object.keys(PATHS).filter((name) => name !== "savings" || isSavingsTurn);
  const replies = await Promise.allSettled(wanted.map((name) => ask(PATHS[name])));
  const refused = replies.find(({ reason }) => reason instanceof KeyNeeded);
  if (refused) throw refused.reason;
  if (replies.every(({ status }) => status === "rejected")) throw replies[0].reason;
  replies.forEach(({ value }, at) => {
    if (value !== undefined) known[wanted[at]] = value;
  });
  if (isSavingsTurn) savingsAt = performance.now();
  SECTIONS.forEach((section) => section(known));
}

function askForKey(problem) {
  byId("key-form").hidden = false;
  byId("board").hidden = true;
  byId("key-problem").textContent = problem;
  byId("state").textContent = "Locked";
  byId("state").className = "pill";
  byId("reason").textContent = "";
  byId("updated").textContent = "";
}

async function refresh() {
  if (document.hidden || isLooking) return;
  isLooking = true;
  try {
    await look();
    byId("key-form").hidden = true;
    byId("board").hidden = false;
    byId("updated").textContent = `Updated ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (error instanceof KeyNeeded) {
      sessionStorage.removeItem(KEY);
      askForKey(error.message);
    } else {
      byId("state").textContent = "No answer";
      byId("state").className = "pill bad";
      byId("reason").textContent = "The service does not answer; these are its last figures.";
    }
  }
  isLooking = false;
  byId("forget").hidden = !sessionStorage.getItem(KEY);
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  byId("key").value = "";
  savingsAt = -Infinity;
  refresh();
});

byId("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});

document.addEventListener("visibilitychange", refresh);
setInterval(refresh, LIVE_MS);
refresh();
