'use strict';

const form = document.querySelector('form[role="search"]');
const status = document.getElementById('status');

// An uploaded file has no address: the server encodes it, and answers with a token.
document.getElementById('file').addEventListener('change', (event) => {
  const file = event.target.files[0];
  event.target.value = ''; // so that the same file can be chosen again
  if (file) upload(file);
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
    if (!answer.ok) {
      status.textContent = content.detail;
      return;
    }
    const fields = new URLSearchParams(new FormData(form));
    for (const name of ['q', 'like', 'at']) fields.delete(name);
    fields.set('upload', content.token);
    location.assign(`/?${fields}`);
  } catch {
    status.textContent = 'The file could not be sent.';
  }
}

// The player of a card; a file that the browser cannot play is shown in converted clips.
class Player {
  constructor(card, video) {
    this.video = video;
    this.note = card.querySelector('.note');
    this.timelines = [...card.querySelectorAll('.timeline')];
    this.frames = [...card.querySelectorAll('a.frame')];
    this.clip = null; // the timeline whose clip is shown instead of the file
    for (const frame of this.frames) {
      frame.addEventListener('click', (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.seek(frame);
      });
    }
    card.querySelector('.overview')?.addEventListener('click', (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const duration = Number(event.currentTarget.dataset.duration);
      // a clip is only a part of it
      if (!this.clip) this.play(((event.clientX - box.left) / box.width) * duration);
    });
    video.addEventListener('timeupdate', () => this.mark());
    video.addEventListener('play', () => {
      for (const other of document.querySelectorAll('video')) if (other !== video) other.pause();
    });
    video.addEventListener('error', () => this.replace());
    video.addEventListener('loadedmetadata', () => {
      if (!video.videoWidth) this.replace(); // it plays the sound alone
    });
    if (video.error) this.replace();
  }

  get offset() {
    return this.clip ? Number(this.clip.dataset.start) : 0;
  }

  async seek(frame) {
    const timeline = frame.parentNode;
    if (this.clip && this.clip !== timeline) await this.show(timeline);
    // slightly later, because a time between two frames is that of the earlier one
    this.play(Number(frame.dataset.seek) - this.offset + 0.001);
  }

  play(seconds) {
    this.video.currentTime = seconds;
    this.video.play().catch(() => {}); // the event `error` explains it
  }

  mark() {
    const seconds = this.video.currentTime + this.offset + 0.01;
    for (const timeline of this.timelines) {
      const frames = this.frames.filter((frame) => frame.parentNode === timeline);
      const shown = frames.filter((frame) => Number(frame.dataset.seek) <= seconds).at(-1);
      for (const frame of frames) frame.classList.toggle('now', frame === shown);
    }
  }

  // The server says why a file is not there; otherwise the browser does not know its format.
  async replace() {
    if (this.clip) return this.explain('This browser plays neither this file nor a converted clip.');
    const problem = await problemOf(this.video.src, { headers: { Range: 'bytes=0-0' } });
    if (problem) return this.explain(problem);
    this.tell('This browser cannot play this file.');
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.show(this.timelines[0]);
    });
    observer.observe(this.video);
  }

  async show(timeline) {
    const address = `${timeline.dataset.clip}?t=${timeline.dataset.start},${timeline.dataset.end}`;
    this.tell('This browser cannot play this file: the moment is converted …');
    try {
      const answer = await fetch(address);
      if (!answer.ok) return this.explain((await answer.json()).detail);
      this.clip = timeline;
      const clip = await answer.blob();
      if (this.video.src.startsWith('blob:')) URL.revokeObjectURL(this.video.src);
      this.video.src = URL.createObjectURL(clip);
      this.tell('This browser cannot play this file: the moment is shown converted, without sound.');
    } catch {
      this.explain('The server does not answer.');
    }
  }

  tell(text) {
    this.note.textContent = text;
    this.note.hidden = false;
  }

  explain(text) {
    this.tell(text);
    this.video.hidden = true;
  }
}

for (const card of document.querySelectorAll('li')) {
  const video = card.querySelector('video');
  for (const timeline of card.querySelectorAll('.timeline')) moveWithArrows(timeline);
  if (video) new Player(card, video);
}

// A timeline is one stop of the Tab key; arrow keys move inside it.
function moveWithArrows(timeline) {
  const frames = [...timeline.querySelectorAll('a.frame')];
  const first = timeline.querySelector('a.best') ?? frames[0];
  for (const frame of frames) frame.tabIndex = frame === first ? 0 : -1;
  const best = timeline.querySelector('.best');
  timeline.scrollLeft = best.offsetLeft - timeline.offsetLeft - timeline.clientWidth / 2;
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

async function problemOf(address, options) {
  try {
    const answer = await fetch(address, options);
    return answer.ok ? '' : (await answer.json()).detail;
  } catch {
    return 'The server does not answer.';
  }
}
