import { HttpClient } from '@angular/common/http';
import { Component, inject, signal } from '@angular/core';
import { ActivatedRoute } from '@angular/router';
import { API } from './api';

interface Answer {
  chat: string;
  user: string;
}

/** Asks who it is, and sends messages. */
@Component({
  template: `
    <h1>Chat</h1>
    <p id="user">{{ answer()?.user }}</p>
    <p id="topic">{{ route.snapshot.queryParamMap.get('topic') }}</p>
    <button id="ask" (click)="ask()">Ask again</button>
    <button id="send" (click)="send('Bonjour')">Send</button>
    <p id="asked">{{ asked() }}</p>
    <p id="sent">{{ sent() }}</p>
  `,
})
export class Chat {
  protected readonly route = inject(ActivatedRoute);
  protected readonly answer = signal<Answer | undefined>(undefined);
  protected readonly asked = signal(0);
  protected readonly sent = signal('');
  private readonly http = inject(HttpClient);

  constructor() {
    this.ask();
  }

  protected ask(): void {
    this.http.get<Answer>(API + '/chat', { withCredentials: true }).subscribe((answer) => {
      this.answer.set(answer);
      this.asked.update((count) => count + 1);
    });
  }

  protected send(message: string): void {
    this.http.post<{ received: string }>(API + '/chat', { message }, { withCredentials: true }).subscribe({
      next: ({ received }) => this.sent.set(received),
      error: ({ status }) => this.sent.set('refused: ' + status),
    });
  }
}
