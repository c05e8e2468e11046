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

// A file that the browser cannot play is shown in converted clips.
class ClipPlayer extends Player {
  clip = null; // the timeline whose clip is shown instead of the file

  constructor(card, video) {
    super(card, video);
    card.querySelector('.overview')?.addEventListener('click', (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const duration = Number(event.currentTarget.dataset.duration);
      // a clip is only a part of it
      if (!this.clip) this.play(((event.clientX - box.left) / box.width) * duration);
    });
    if (video.error) this.fail();
  }

  get offset() {
    return this.clip ? Number(this.clip.dataset.start) : 0;
  }

  async seek(frame) {
    const timeline = frame.parentNode;
    if (this.clip && this.clip !== timeline) await this.show(timeline);
    super.seek(frame);
  }

  // The server says why a file is not there; otherwise the browser does not know its format.
  async fail() {
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

  explain(text) {
    this.tell(text);
    this.video.hidden = true;
  }
}

startPlayers(ClipPlayer);

async function problemOf(address, options) {
  try {
    const answer = await fetch(address, options);
    return answer.ok ? '' : (await answer.json()).detail;
  } catch {
    return 'The server does not answer.';
  }
}
