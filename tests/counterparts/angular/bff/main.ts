// The front-end that leans on its back-end's session. It holds no token and knows no provider.
import { provideHttpClient, withInterceptors } from '@angular/common/http';
import { bootstrapApplication } from '@angular/platform-browser';
import { provideRouter } from '@angular/router';
import { Analytics } from './analytics';
import { App } from './app';
import { Chat } from './chat';
import { Home } from './home';
import { signIn } from './sign-in';

bootstrapApplication(App, {
  providers: [
    provideRouter([
      { path: '', component: Home },
      { path: 'chat', component: Chat },
      { path: 'analytics', component: Analytics },
    ]),
    provideHttpClient(withInterceptors([signIn])),
  ],
}).catch((error) => console.error(error));
