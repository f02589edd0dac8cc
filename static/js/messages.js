/**
 * Texts in the reader's language. English is in the code; a page in another language loads /messages/<tag>.js first.
 * @module messages
 */

const { texts = {}, plural } = globalThis.fiftycells ?? {};

/** BCP 47 tag of the page, for numbers. */
export const language = document.documentElement.lang;

const fill = (text, values) => text.replace(/%\((\w+)\)s|%%/g, (_whole, name) => (name ? values[name] : "%"));

/**
 * @param {string} text English; a value is written %(name)s, a % sign %%
 * @param {object} [values]
 * @returns {string} the text as its reader says it
 */
export function _(text, values = {}) {
  return fill(texts[text]?.[0] || text, values);
}

/**
 * @param {string} one English, for one
 * @param {string} many English, for any other number
 * @param {number} num stands in the text as %(num)s, with the separators of the reader
 * @param {object} [values]
 * @returns {string} the text that goes with the number
 */
export function ngettext(one, many, num, values = {}) {
  const text = texts[one]?.[plural(num)] || (num === 1 ? one : many);
  return fill(text, { num: number(num), ...values });
}

/** @returns {string} a number as its reader writes it, with so many digits behind the decimal sign */
export function number(value, digits = 0) {
  return Number(value).toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
