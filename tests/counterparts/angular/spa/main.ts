// The front-end that holds a token, in the memory of its page and nowhere else.
import { provideHttpClient, withInterceptors } from '@angular/common/http';
import { bootstrapApplication } from '@angular/platform-browser';
import { provideRouter } from '@angular/router';
import { App } from './app';
import { bearer } from './bearer';
import { Callback } from './callback';
import { Chat } from './chat';

bootstrapApplication(App, {
  providers: [
    provideRouter([
      { path: '', redirectTo: 'chat', pathMatch: 'full' },
      { path: 'auth/callback', component: Callback },
      { path: 'chat', component: Chat },
    ]),
    provideHttpClient(withInterceptors([bearer])),
  ],
}).catch((error) => console.error(error));
