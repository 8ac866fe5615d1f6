import { Component, inject, signal } from '@angular/core';
import { ActivatedRoute, Router } from '@angular/router';
import { Auth } from './auth';

/** The provider comes back to here. */
@Component({ template: `<p id="callback">{{ says() }}</p>` })
export class Callback {
  protected readonly says = signal('Signing in');

  constructor() {
    const router = inject(Router);
    const query = inject(ActivatedRoute).snapshot.queryParamMap;
    inject(Auth).redeem(query.get('code') ?? '', query.get('state') ?? '').subscribe({
      next: () => router.navigateByUrl('/chat'),
      error: ({ status, error }) => this.says.set(`refused: ${status} ${error?.detail}`),
    });
  }
}
