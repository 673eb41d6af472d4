/** The model lies in this file: a page that was opened from a disk may not fetch others. */
async function load() {
  if (globalThis.tf === undefined) throw new Error("tf.min.js is not here: README.txt tells what to copy");
  const weights = Uint8Array.from(atob(CONTENTS.weights), (character) => character.charCodeAt(0)).buffer;
  return createPredictor({ ...CONTENTS, weights }, globalThis.tf);
}
