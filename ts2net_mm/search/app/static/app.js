'use strict';

const form = document.querySelector('form[role="search"]');
const status = document.getElementById('status');

// An uploaded file has no address: the server encodes it, and answers with that of the search.
form.addEventListener('submit', (event) => {
  const file = document.getElementById('file').files[0];
  if (file) {
    event.preventDefault();
    upload(file);
  }
});
document.getElementById('file').addEventListener('change', (event) => {
  if (event.target.files.length) form.requestSubmit();
});

async function upload(file) {
  const limit = Number(form.dataset.maxUpload);
  if (file.size > limit) {
    status.textContent = `${file.name} is too large: at most ${Math.floor(limit / 2 ** 20)} MB are read.`;
    return;
  }
  status.textContent = `Reading ${file.name} …`;
  try {
    const address = `/upload?name=${encodeURIComponent(file.name)}`;
    const answer = await fetch(address, { method: 'POST', body: file });
    const content = await answer.json();
    if (answer.ok) location.assign(content.address);
    else status.textContent = content.detail;
  } catch {
    status.textContent = 'The file could not be sent.';
  }
}

for (const card of document.querySelectorAll('li')) {
  const video = card.querySelector('video');
  for (const timeline of card.querySelectorAll('.timeline')) moveWithArrows(timeline);
  if (video) connect(card, video);
}

// A timeline is one stop of the Tab key; arrow keys move inside it.
function moveWithArrows(timeline) {
  const frames = [...timeline.querySelectorAll('a.frame')];
  const first = timeline.querySelector('a.best') ?? frames[0];
  for (const frame of frames) frame.tabIndex = frame === first ? 0 : -1;
  timeline.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -frames.length, End: frames.length };
    const step = steps[event.key];
    const place = frames.indexOf(document.activeElement);
    if (!step || place < 0) return;
    event.preventDefault();
    const next = frames[Math.max(0, Math.min(place + step, frames.length - 1))];
    frames[place].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

function connect(card, video) {
  const frames = [...card.querySelectorAll('a.frame')];
  for (const frame of frames) {
    frame.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      seek(video, Number(frame.dataset.seek));
    });
  }
  video.addEventListener('timeupdate', () => mark(frames, video.currentTime));
  video.addEventListener('play', () => {
    for (const other of document.querySelectorAll('video')) if (other !== video) other.pause();
  });
  video.addEventListener('error', () => explain(card, video));
  video.addEventListener('loadedmetadata', () => {
    if (!video.videoWidth) explain(card, video); // it plays the sound alone
  });
  if (video.error) explain(card, video);
}

function seek(video, seconds) {
  // slightly later, because a time between two frames is that of the earlier one
  video.currentTime = seconds + 0.001;
  video.play().catch(() => {}); // the event `error` explains it
}

function mark(frames, seconds) {
  for (const timeline of new Set(frames.map((frame) => frame.parentNode))) {
    const shown = frames.filter(
      (frame) => frame.parentNode === timeline && Number(frame.dataset.seek) <= seconds + 0.01,
    );
    for (const frame of timeline.children) frame.classList.toggle('now', frame === shown.at(-1));
  }
}

// The server says why a file is not there; otherwise the browser does not know its format.
async function explain(card, video) {
  const note = card.querySelector('.problem');
  try {
    const answer = await fetch(video.currentSrc || video.src, { headers: { Range: 'bytes=0-0' } });
    if (!answer.ok) note.textContent = (await answer.json()).detail;
  } catch {
    note.textContent = 'The server does not answer.';
  }
  note.hidden = false;
  video.hidden = true;
}
