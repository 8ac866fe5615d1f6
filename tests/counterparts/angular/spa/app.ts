import { Component, inject, signal } from '@angular/core';
import { RouterOutlet } from '@angular/router';
import { Auth } from './auth';

@Component({
  selector: 'app-root',
  imports: [RouterOutlet],
  template: `
    <button id="sign-out" (click)="signOut()">Sign out</button>
    <p id="signed-out">{{ signedOut() }}</p>
    <router-outlet />
  `,
})
export class App {
  protected readonly signedOut = signal('');
  private readonly auth = inject(Auth);

  protected signOut(): void {
    this.auth.signOut().subscribe((answer) => this.signedOut.set(JSON.stringify(answer)));
  }
}
