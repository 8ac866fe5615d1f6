import { HttpClient } from '@angular/common/http';
import { inject, Injectable } from '@angular/core';
import { finalize, map, Observable, share, tap } from 'rxjs';

interface Token {
  access_token: string;
  state: string;
}

/** The token and its handle: gone with the page. */
@Injectable({ providedIn: 'root' })
export class Auth {
  token?: string;
  private state?: string;
  private refreshing?: Observable<string>;
  private readonly http = inject(HttpClient);

  /** Leaves for the provider. */
  signIn(): void {
    this.http.get<{ authorize_url: string }>('/api/authorize').subscribe(({ authorize_url }) => location.assign(authorize_url));
  }

  /** What the provider came back with, for a token. */
  redeem(code: string, state: string): Observable<string> {
    return this.http.post<Token>('/api/token', { code, state }).pipe(map((token) => this.keep(token)));
  }

  /** Another token; however many ask, one request. */
  refresh(): Observable<string> {
    this.refreshing ??= this.http.post<Token>('/api/refresh', { state: this.state }).pipe(
      map((token) => this.keep(token)),
      finalize(() => (this.refreshing = undefined)),
      share(),
    );
    return this.refreshing;
  }

  signOut(): Observable<unknown> {
    return this.http.post('/api/logout', { state: this.state }).pipe(tap(() => (this.token = this.state = undefined)));
  }

  private keep({ access_token, state }: Token): string {
    this.token = access_token;
    // One that is not said again is still the one.
    this.state = state ?? this.state;
    return access_token;
  }
}
