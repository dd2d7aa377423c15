// A timeline per host: its state above, its scheduler's below. Shift or ctrl and the wheel zoom, dragging moves.
// `data` is {begin, end, states: [name], hosts: [{name, site, PM: [[start, duration, state]], SERVICE: [...]}]}.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("timeline-data").textContent);
  const canvas = document.getElementById("timeline"), tip = document.getElementById("tip");
  const ROW = 20, LANE = 8, TOP = 22, LEFT = 96;
  const height = TOP + ROW * data.hosts.length + 4;
  let from = data.begin, to = data.end, drag = null;
  canvas.style.height = height + "px";

  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const width = () => canvas.clientWidth;
  const x = time => LEFT + (time - from) / (to - from) * (width() - LEFT);
  const time = px => from + (px - LEFT) / (width() - LEFT) * (to - from);

  function step(span) {
    const power = 10 ** Math.floor(Math.log10(span / 8));
    return [1, 2, 5, 10].map(n => n * power).find(n => span / n <= 8);
  }

  function draw() {
    const scale = window.devicePixelRatio || 1;
    canvas.width = width() * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.clearRect(0, 0, width(), height);
    pen.font = "11px system-ui, sans-serif";
    const colours = data.states.map(name => style("--" + name)), ink = style("--soft"), line = style("--line");
    const unit = step(to - from), digits = Math.max(0, -Math.floor(Math.log10(unit)));
    pen.textAlign = "center";
    for (let t = Math.ceil(from / unit) * unit; t <= to; t += unit) {
      pen.fillStyle = line;
      pen.fillRect(x(t), TOP - 4, 1, height);
      pen.fillStyle = ink;
      pen.fillText(t.toFixed(digits) + " s", Math.min(x(t), width() - 22), 12);
    }
    data.hosts.forEach((host, i) => {
      const y = TOP + ROW * i;
      [host.PM, host.SERVICE].forEach((lane, which) => {
        for (const [start, duration, state] of lane) {
          if (start + duration < from || start > to) continue;
          const a = Math.max(x(start), LEFT), b = Math.min(x(start + duration), width());
          pen.fillStyle = colours[state];
          pen.fillRect(a, y + which * (LANE + 1), Math.max(b - a, 0.7), LANE);
        }
      });
    });
    pen.clearRect(0, TOP, LEFT - 2, height);
    pen.textAlign = "right";
    pen.fillStyle = ink;
    data.hosts.forEach((host, i) => pen.fillText(host.name.slice(-14), LEFT - 8, TOP + ROW * i + 13));
  }

  function zoom(factor, at) {
    const whole = data.end - data.begin, span = Math.min(Math.max((to - from) * factor, whole / 1e5), whole);
    from = at - (at - from) / (to - from) * span;
    from = Math.min(Math.max(from, data.begin), data.end - span);
    to = from + span;
    draw();
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function tell(event) {
    const [px, py] = point(event), i = Math.floor((py - TOP) / ROW), host = data.hosts[i];
    const name = (py - TOP) % ROW < LANE + 1 ? "PM" : "SERVICE";
    const now = time(px), slack = (to - from) / width();
    const found = host && px > LEFT && host[name].find(([s, d]) => s - slack <= now && now < s + d + slack);
    tip.style.display = found ? "block" : "none";
    if (found) {
      const [start, duration, state] = found;
      tip.textContent = `${host.name} (${host.site}): ${data.states[state]}, ${start.toFixed(3)} s for ${duration.toFixed(3)} s`;
      tip.style.left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8) + "px";
      tip.style.top = event.clientY + 14 + "px";
    }
  }

  canvas.addEventListener("wheel", event => {
    // The wheel alone scrolls the page, of which the timeline fills much.
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, time(Math.max(point(event)[0], LEFT)));
  }, { passive: false });
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    drag = [point(event)[0], from, to];
  });
  canvas.addEventListener("pointermove", event => {
    if (!drag) return tell(event);
    const span = drag[2] - drag[1], moved = (point(event)[0] - drag[0]) / (width() - LEFT) * span;
    from = Math.min(Math.max(drag[1] - moved, data.begin), data.end - span);
    to = from + span;
    draw();
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  canvas.addEventListener("dblclick", () => zoom(Infinity, from));
  document.getElementById("zoom-in").addEventListener("click", () => zoom(0.5, (from + to) / 2));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(2, (from + to) / 2));
  document.getElementById("zoom-all").addEventListener("click", () => zoom(Infinity, from));
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
