import { Component } from '@angular/core';
import { API } from './api';

/** For everybody: asks the API nothing. */
@Component({
  template: `
    <h1>Home</h1>
    <a id="sign-in" [href]="api + '/login'">Sign in</a>
  `,
})
export class Home {
  protected readonly api = API;
}
