/** Where the API is: below a path of ours, or on another site. The page says it. */
export const API = document.querySelector<HTMLMetaElement>('meta[name=api]')!.content;
