import { HttpClient } from '@angular/common/http';
import { Component, inject, signal } from '@angular/core';
import { Router, RouterLink, RouterOutlet } from '@angular/router';
import { API } from './api';

/** The frame around every page: where to go, and two ways out. */
@Component({
  selector: 'app-root',
  imports: [RouterLink, RouterOutlet],
  template: `
    <nav>
      <a id="to-home" routerLink="/">Home</a>
      <a id="to-chat" routerLink="/chat">Chat</a>
      <a id="to-analytics" routerLink="/analytics">Analytics</a>
      <a id="leave" [href]="api + '/logout'">Sign out everywhere</a>
      <button id="sign-out" (click)="signOut()">Sign out</button>
    </nav>
    <p id="signed-out">{{ signedOut() }}</p>
    <router-outlet />
  `,
})
export class App {
  protected readonly api = API;
  protected readonly signedOut = signal('');
  private readonly http = inject(HttpClient);
  private readonly router = inject(Router);

  protected signOut(): void {
    this.http.get(API + '/logout', { withCredentials: true, responseType: 'text' }).subscribe((answer) => {
      this.signedOut.set(answer);
      this.router.navigateByUrl('/');
    });
  }
}
