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
    <button id="lose" (click)="wearOut()">Wear the token out</button>
  `,
})
export class Chat {
  private readonly auth = inject(Auth);
  protected readonly user = signal('');
  protected readonly asked = signal(0);
  private readonly http = inject(HttpClient);

  constructor() {
    if (this.auth.token !== undefined) this.ask();
    else this.auth.signIn();
  }

  /** As a token is that has ended: it looks like one, and does not count. */
  protected wearOut(): void {
    this.auth.token = this.auth.token?.replace(/.{8}$/, 'AAAAAAAA');
  }

  protected ask(): void {
    this.http.get<{ user: string }>('/api/chat').subscribe(({ user }) => {
      this.user.set(user);
      this.asked.update((count) => count + 1);
    });
  }
}
