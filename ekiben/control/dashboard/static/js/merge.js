// Makes one element's children equal to another's and touches only what differs, so that focus, open details,
// scrolled tables and selected text stay as they are.

const KEPT = { DETAILS: new Set(["open"]) };

export function merge(old, fresh) {
  let place = old.firstChild;
  for (let next = fresh.firstChild; next; ) {
    const after = next.nextSibling;
    if (!place) {
      old.append(next);
    } else if (alike(place, next)) {
      update(place, next);
      place = place.nextSibling;
    } else {
      const later = following(place, next);
      if (later) {
        while (place !== later) {
          const gone = place;
          place = place.nextSibling;
          gone.remove();
        }
        update(place, next);
        place = place.nextSibling;
      } else {
        old.insertBefore(next, place);
      }
    }
    next = after;
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return (
    one.nodeType === other.nodeType &&
    one.nodeName === other.nodeName &&
    (one.nodeType !== Node.ELEMENT_NODE || key(one) === key(other))
  );
}

// What an element is about: two sections with different headings are not the same section.
function key(element) {
  return element.id || element.getAttribute("aria-labelledby") || element.getAttribute("href") || "";
}

function following(place, fresh) {
  if (fresh.nodeType !== Node.ELEMENT_NODE || !key(fresh)) return null;
  for (let later = place.nextSibling; later; later = later.nextSibling) {
    if (alike(later, fresh)) return later;
  }
  return null;
}

function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName.toLowerCase() === "svg") {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  const kept = KEPT[old.nodeName] ?? new Set();
  for (const { name, value } of fresh.attributes) {
    if (!kept.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!kept.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  merge(old, fresh);
}
