/**
 * What was chosen or dropped, as a flat list of files with their paths, and how it is cut into requests.
 * @module upload_files
 */

const MOST_FILES = 50; // per request
const MOST_BYTES = 16_000_000; // per request; a larger file travels in pieces

/** @typedef {{file: File, path: string}} Chosen a file and the name or path to show for it */

/**
 * @param {FileList} files of an input
 * @returns {Chosen[]}
 */
export function fromInput(files) {
  return [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/**
 * @param {DataTransfer} transfer of a drop event; must be read before the handler returns, so the entries are taken at once
 * @returns {Promise<Chosen[]>} dropped files, and those in dropped folders at any depth
 */
export async function fromDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return fromInput(transfer.files);
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  // A folder hands its entries out in portions, and an empty portion means that all were given.
  for (;;) {
    const portion = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!portion.length) return;
    for (const child of portion) await collect(child, found);
  }
}

/** @returns {boolean} whether a file is too large for a request of its own @param {Chosen} chosen */
export const isLarge = ({ file }) => file.size > MOST_BYTES;

/**
 * @param {Chosen[]} files none of which is large
 * @returns {Chosen[][]} in the same order, one list per request
 */
export function batches(files) {
  const all = [];
  let batch = [];
  let bytes = 0;
  for (const chosen of files) {
    if (batch.length && (batch.length === MOST_FILES || bytes + chosen.file.size > MOST_BYTES)) {
      all.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(chosen);
    bytes += chosen.file.size;
  }
  if (batch.length) all.push(batch);
  return all;
}
