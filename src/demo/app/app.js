// The live part of the demonstration app: one WebSocket, one event stream.
"use strict";

const LINES = 6;
const find = (id) => document.getElementById(id);

function show(id, text, state) {
  find(id).textContent = text;
  if (state) find(id).dataset.state = state;
}

function log(id, text) {
  const line = document.createElement("li");
  line.textContent = new Date().toLocaleTimeString("fr-FR") + " — " + text;
  find(id).prepend(line);
  while (find(id).childElementCount > LINES) find(id).lastElementChild.remove();
}

const scheme = location.protocol === "https:" ? "wss://" : "ws://";
const socket = new WebSocket(scheme + location.host + "/live");

socket.addEventListener("open", () => show("socket-state", "ouvert · open", "open"));
socket.addEventListener("close", (event) => {
  show("socket-state", "fermé · closed (" + event.code + ")", "closed");
});
socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (message.kind === "tick") {
    show("socket-ticks", message.count);
    show("socket-person", message.person ?? "—");
  } else {
    log("socket-log", "renvoyé : " + message.text);
  }
});

find("socket-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = find("socket-text").value;
  if (text === "" || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  find("socket-text").value = "";
});

const stream = new EventSource("/events");

stream.addEventListener("open", () => show("stream-state", "ouvert · open", "open"));
stream.addEventListener("error", () => {
  const ended = stream.readyState === EventSource.CLOSED;
  show("stream-state", ended ? "fermé · closed" : "reprise… · reconnecting", "closed");
});
stream.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  show("stream-count", message.count);
  show("stream-person", message.person ?? "—");
  log("stream-log", "événement " + message.count);
});
