'use strict';

// The player of a card: a click on a frame of its timelines plays from there.
class Player {
  constructor(card, video) {
    this.video = video;
    this.note = card.querySelector('.note');
    this.timelines = [...card.querySelectorAll('.timeline')];
    this.frames = [...card.querySelectorAll('a.frame')];
    this.isBroken = false; // then a frame is a plain link to the file
    for (const frame of this.frames) {
      frame.addEventListener('click', (event) => {
        if (this.isBroken || event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.seek(frame);
      });
    }
    video.addEventListener('timeupdate', () => this.mark());
    video.addEventListener('play', () => {
      for (const other of document.querySelectorAll('video')) if (other !== video) other.pause();
    });
    video.addEventListener('error', () => this.fail());
    video.addEventListener('loadedmetadata', () => {
      if (!video.videoWidth) this.fail(); // it plays the sound alone
    });
  }

  // Seconds of the file at which what is played begins.
  get offset() {
    return 0;
  }

  seek(frame) {
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

  fail() {
    this.isBroken = true;
    this.tell('This browser cannot play this file from here.');
  }

  tell(text) {
    this.note.textContent = text;
    this.note.hidden = false;
  }
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

function startPlayers(Kind) {
  for (const card of document.querySelectorAll('li')) {
    const video = card.querySelector('video');
    for (const timeline of card.querySelectorAll('.timeline')) moveWithArrows(timeline);
    if (video) new Kind(card, video);
  }
}
