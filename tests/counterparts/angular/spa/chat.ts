import { HttpClient } from '@angular/common/http';
import { Component, inject, signal } from '@angular/core';
import { Auth } from './auth';

/** Asks who it is, with its token. */
@Component({
  template: `
    <h1>Chat</h1>
    <p id="user">{{ user() }}</p>
    <p id="asked">{{ asked() }}</p>
    <button id="ask" (click)="ask()">Ask again</button>
    <button id="lose" (click)="auth.token = 'worn-out'">Wear the token out</button>
  `,
})
export class Chat {
  protected readonly auth = inject(Auth);
  protected readonly user = signal('');
  protected readonly asked = signal(0);
  private readonly http = inject(HttpClient);

  constructor() {
    if (this.auth.token !== undefined) this.ask();
    else this.auth.signIn();
  }

  protected ask(): void {
    this.http.get<{ user: string }>('/api/chat').subscribe(({ user }) => {
      this.user.set(user);
      this.asked.update((count) => count + 1);
    });
  }
}
