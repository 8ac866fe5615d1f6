import { HttpInterceptorFn } from '@angular/common/http';
import { catchError } from 'rxjs';
import { API } from './api';

/** Leads whoever is not signed in there, and back to where they are. Stands in docs/browser-apps.md. */
export const signIn: HttpInterceptorFn = (request, next) =>
  next(request).pipe(catchError((error) => {
    if (error.status === 401) location.assign(API + '/login?rd=' + encodeURIComponent(location.href));
    throw error;
  }));
