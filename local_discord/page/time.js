// Moments, the way Discord writes them; relative ones count by themselves.

/** @type {[number, Intl.RelativeTimeFormatUnit][]} */
const UNITS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const STYLES = {
  t: { timeStyle: "short" },
  T: { timeStyle: "medium" },
  d: { dateStyle: "short" },
  D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" },
  F: { dateStyle: "full", timeStyle: "short" },
};

/** @param {number} seconds Unix time. @param {number} [now] ms @returns {string} "in 5 seconds", "2 minutes ago" */
export function fromNow(seconds, now = Date.now()) {
  let amount = seconds - now / 1000;
  for (const [size, unit] of UNITS) {
    const whole = Math.round(amount);
    if (Math.abs(whole) < size) return relative.format(whole, unit);
    amount /= size;
  }
  return "";
}

/** @param {number} seconds Unix time. @param {string} style One of t, T, d, D, f, F, R. */
export function written(seconds, style) {
  if (style === "R") return fromNow(seconds);
  return new Date(seconds * 1000).toLocaleString(undefined, STYLES[style] ?? STYLES.f);
}

/** When a message was sent: the time today, with the date before that. @param {string} stamp */
export function sentAt(stamp) {
  const moment = new Date(stamp);
  const today = moment.toDateString() === new Date().toDateString();
  return moment.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" });
}

/** Keep every `<time data-style="R">` in the document true. */
export function startCounting() {
  setInterval(() => {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("time[data-style=R]"))) {
      const text = fromNow(Number(element.dataset.seconds));
      if (element.textContent !== text) element.textContent = text;
    }
  }, 1000);
}
