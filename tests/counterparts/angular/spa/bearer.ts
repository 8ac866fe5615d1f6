import { HttpInterceptorFn, HttpRequest } from '@angular/common/http';
import { inject } from '@angular/core';
import { catchError, EMPTY, switchMap } from 'rxjs';
import { Auth } from './auth';

/** What the token is got with is asked without one. */
const OWN = ['/api/authorize', '/api/token', '/api/refresh', '/api/logout'];

const signed = (request: HttpRequest<unknown>, token?: string) =>
  token === undefined ? request : request.clone({ setHeaders: { Authorization: `Bearer ${token}` } });

export const bearer: HttpInterceptorFn = (request, next) => {
  const auth = inject(Auth);
  if (OWN.includes(request.url)) return next(request);
  return next(signed(request, auth.token)).pipe(catchError((error) => {
    if (error.status !== 401) throw error;
    return auth.refresh().pipe(
      catchError(() => {
        auth.signIn();
        return EMPTY;
      }),
      switchMap((token) => next(signed(request, token))),
    );
  }));
};
