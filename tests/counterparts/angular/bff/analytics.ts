import { HttpClient } from '@angular/common/http';
import { Component, DestroyRef, inject, signal } from '@angular/core';
import { API } from './api';

/** Lives: a WebSocket and an event stream, for as long as it is shown. */
@Component({
  template: `
    <h1>Analytics</h1>
    <p id="user">{{ user() }}</p>
    <p id="socket">{{ socket() }}</p>
    <p id="events">{{ events() }}</p>
  `,
})
export class Analytics {
  protected readonly user = signal('');
  protected readonly socket = signal('closed');
  protected readonly events = signal('closed');

  constructor() {
    const http = inject(HttpClient);
    http.get<{ user: string }>(API + '/analytics', { withCredentials: true }).subscribe(({ user }) => this.user.set(user));

    const socket = new WebSocket(new URL(API + '/ws', location.href));
    socket.onmessage = ({ data }) => this.socket.set(data);
    socket.onclose = () => this.socket.set('closed');

    const events = new EventSource(API + '/events', { withCredentials: true });
    events.onmessage = ({ data }) => this.events.set(data);
    events.onerror = () => this.events.set('closed');

    inject(DestroyRef).onDestroy(() => {
      socket.close();
      events.close();
    });
  }
}
