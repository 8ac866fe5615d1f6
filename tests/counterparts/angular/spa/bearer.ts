import { HttpInterceptorFn, HttpRequest } from '@angular/common/http';
import { inject } from '@angular/core';
import { catchError, EMPTY, of, switchMap } from 'rxjs';
import { Auth } from './auth';

/** What the token is got with is asked without one. */
const OWN = ['/api/authorize', '/api/token', '/api/refresh', '/api/logout'];

const signed = (request: HttpRequest<unknown>, token?: string) =>
  token === undefined ? request : request.clone({ setHeaders: { Authorization: `Bearer ${token}` } });

export const bearer: HttpInterceptorFn = (request, next) => {
  const auth = inject(Auth);
  if (OWN.includes(request.url)) return next(request);
  const sent = auth.token;
  return next(signed(request, sent)).pipe(catchError((error) => {
    if (error.status !== 401) throw error;
    // Another request may have been quicker: then there is a new one already.
    const token = auth.token === sent ? auth.refresh() : of(auth.token);
    return token.pipe(
      catchError(() => {
        auth.signIn();
        return EMPTY;
      }),
      switchMap((token) => next(signed(request, token))),
    );
  }));
};
