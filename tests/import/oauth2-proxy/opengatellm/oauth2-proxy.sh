#!/bin/sh
# The playground's container: oauth2-proxy on loopback, nginx and Reflex beside it.
set -eu
COOKIE_NAME=_oauth2_proxy_opengatellm

exec /usr/local/bin/oauth2-proxy \
  --http-address=127.0.0.1:4180 \
  --provider=oidc \
  --oidc-issuer-url="${AUTH_SSO_OIDC_ISSUER_URL:-https://auth.agentconnect.gouv.fr/api/v2}" \
  --client-id="${AUTH_SSO_CLIENT_ID}" \
  --client-secret="${AUTH_SSO_CLIENT_SECRET}" \
  --cookie-secret="$(head -c 32 /run/secrets/cookie)" \
  --cookie-name="$COOKIE_NAME" \
  --cookie-samesite=lax \
  --cookie-refresh=5m \
  --redirect-url=https://playground.example.gouv.fr/oauth2/callback \
  --scope="openid email given_name usual_name" \
  --oidc-groups-claim=acr \
  --allowed-group=eidas0-mfa,eidas1-mfa --allowed-group=eidas2 --allowed-group=eidas3 \
  --email-domain='*' \
  --skip-auth-route='^/ping$' \
  --set-xauthrequest --pass-access-token --set-authorization-header \
  --skip-provider-button \
  --upstream=http://127.0.0.1:8501
