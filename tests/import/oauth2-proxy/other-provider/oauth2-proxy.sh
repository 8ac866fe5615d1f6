oauth2-proxy --client-id=app --client-secret=hunter2 --provider=github --github-org=example --github-token=hunter2 --cookie-expire=0 --config=/etc/oauth2-proxy.cfg
