//! Where Vestibule answers otherwise, and on purpose: one entry for each row of the table under
//! "What is answered otherwise" in `docs/oauth2-proxy.md`, in its order.

/// One difference.
pub(super) struct Difference {
    /// The first column of its row.
    pub(super) row: &'static str,
    /// The facts that differ for this reason.
    pub(super) seen: &'static [Seen],
}

/// Where it is seen: the cases, the fact, and what we say; `*` stands for anything.
#[derive(Debug)]
pub(super) struct Seen(&'static str, &'static str, &'static str);

impl Seen {
    /// Whether it explains that this fact of this case is so here.
    pub(super) fn fits(&self, case: &str, fact: &str, ours: &str) -> bool {
        matches(self.0, case) && matches(self.1, fact) && matches(self.2, ours)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| matches(rest, text))),
    }
}

/// All of them.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        row: "Identity in answers of the app",
        seen: &[
            Seen("alone: person: GET /app/x*", "x-auth-request-*", "-"),
            Seen("alone: person: GET /app/x*", "gap-auth", "-"),
            Seen("alone: person: GET /public/x*", "x-auth-request-*", "-"),
            Seen("alone: person: GET /public/x*", "gap-auth", "-"),
        ],
    },
    Difference {
        row: "The names of the app's identity headers",
        seen: &[Seen(
            "alone: person: GET *",
            "the app sees x-auth-request-email",
            "helene.moreau@test.proconnect.gouv.fr",
        )],
    },
    Difference {
        row: "The session's cookie",
        seen: &[Seen("alone: *: GET *", "the app sees the session cookie", "no")],
    },
    Difference {
        row: "Identity that the client brings to an app",
        seen: &[
            Seen("*(with an identity of its own)", "the app sees x-auth-request-email", "-"),
            Seen("*(with an identity of its own)", "the app sees x-forwarded-access-token", "-"),
        ],
    },
    Difference {
        row: "Identity that the client brings to a front proxy",
        seen: &[
            Seen("asked: *(with an identity of its own)", "status", "403"),
            Seen("asked: *(with an identity of its own)", "body", "error bad_request"),
            Seen("asked: *(with an identity of its own)", "x-auth-request-*", "-"),
            Seen("asked: *(with an identity of its own)", "gap-auth", "-"),
        ],
    },
    Difference { row: "A cookie that opens nothing", seen: &[Seen("*garbage: *", "cookies", "-")] },
    Difference { row: "Keeping answers", seen: &[Seen("*", "may be kept", "no")] },
    Difference {
        row: "The body of a refusal",
        seen: &[
            Seen("*/oauth2/auth*", "body", "error not_signed_in"),
            Seen("*/oauth2/userinfo", "body", "error not_signed_in"),
            Seen("alone: * /app/x (as json)", "body", "error not_signed_in"),
            Seen("asked: * (as a browser)", "body", "a page"),
            Seen("*/oauth2/auth?allowed_*", "body", "error not_admitted"),
            Seen("alone: nobody: GET /oauth2/static/nothing", "body", "error not_found"),
        ],
    },
    Difference {
        row: "The app's paths without a session",
        seen: &[
            Seen("alone: *: * /app/x*", "status", "401"),
            Seen("alone: nobody: * /app/x", "body", "error not_signed_in"),
            Seen("alone: nobody: GET /ping/", "status", "401"),
            Seen("alone: nobody: GET /ping/", "body", "error not_signed_in"),
        ],
    },
    Difference {
        row: "An empty `allowed_groups`, `allowed_emails` or `allowed_email_domains`",
        seen: &[
            Seen("*person: GET /oauth2/auth?allowed_*=", "status", "403"),
            Seen("*person: GET /oauth2/auth?allowed_*= (about *", "status", "403"),
            Seen("*person: GET /oauth2/auth?allowed_groups=,*", "status", "403"),
            Seen("*person: GET /oauth2/auth?allowed_*=", "x-auth-request-*", "-"),
            Seen("*person: GET /oauth2/auth?allowed_*= (about *", "x-auth-request-*", "-"),
            Seen("*person: GET /oauth2/auth?allowed_groups=,*", "x-auth-request-*", "-"),
            Seen("*person: GET /oauth2/auth?allowed_*=", "gap-auth", "-"),
            Seen("*person: GET /oauth2/auth?allowed_*= (about *", "gap-auth", "-"),
            Seen("*person: GET /oauth2/auth?allowed_groups=,*", "gap-auth", "-"),
        ],
    },
    Difference {
        row: "Letter case in `allowed_emails` and `allowed_email_domains`",
        seen: &[
            Seen("*person: GET /oauth2/auth?allowed_emails=Helene*", "status", "202"),
            Seen("*person: GET /oauth2/auth?allowed_emails=Helene*", "body", "empty"),
            Seen("*person: GET /oauth2/auth?allowed_emails=Helene*", "x-auth-request-user", "{sub}"),
            Seen(
                "*person: GET /oauth2/auth?allowed_emails=Helene*",
                "x-auth-request-email",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
            Seen(
                "*person: GET /oauth2/auth?allowed_emails=Helene*",
                "x-auth-request-groups",
                "agent_public,agent_public_etat",
            ),
            Seen(
                "*person: GET /oauth2/auth?allowed_emails=Helene*",
                "gap-auth",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
            Seen("*person: GET /oauth2/auth?allowed_email_domains=TEST*", "status", "202"),
            Seen("*person: GET /oauth2/auth?allowed_email_domains=TEST*", "body", "empty"),
            Seen("*person: GET /oauth2/auth?allowed_email_domains=TEST*", "x-auth-request-user", "{sub}"),
            Seen(
                "*person: GET /oauth2/auth?allowed_email_domains=TEST*",
                "x-auth-request-email",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
            Seen(
                "*person: GET /oauth2/auth?allowed_email_domains=TEST*",
                "x-auth-request-groups",
                "agent_public,agent_public_etat",
            ),
            Seen(
                "*person: GET /oauth2/auth?allowed_email_domains=TEST*",
                "gap-auth",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
        ],
    },
    Difference {
        row: "`allowed_*` on a public route",
        seen: &[
            Seen("asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)", "status", "202"),
            Seen("asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)", "body", "empty"),
            Seen(
                "asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)",
                "x-auth-request-user",
                "{sub}",
            ),
            Seen(
                "asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)",
                "x-auth-request-email",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
            Seen(
                "asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)",
                "x-auth-request-groups",
                "agent_public,agent_public_etat",
            ),
            Seen(
                "asked: person: GET /oauth2/auth?allowed_groups=x (about GET /public/x)",
                "gap-auth",
                "helene.moreau@test.proconnect.gouv.fr",
            ),
        ],
    },
    Difference {
        row: "`allowed_*` in the app's own addresses",
        seen: &[
            Seen("alone: person: GET /app/x?allowed_groups=x", "status", "200"),
            Seen("alone: person: GET /app/x?allowed_groups=x", "body", "the app's"),
            Seen("alone: person: GET /app/x?allowed_groups=x", "type", "application/json"),
            Seen("alone: person: GET /app/x?allowed_groups=x", "the app sees x-forwarded-*", "*"),
        ],
    },
    Difference {
        row: "What changes something, from nobody knows whose page",
        seen: &[
            Seen("asked: person: GET /oauth2/auth (about POST /app/x?y=z)", "status", "403"),
            Seen("asked: person: GET /oauth2/auth (about POST /app/x?y=z)", "body", "error other_site"),
            Seen("asked: person: GET /oauth2/auth (about POST /app/x?y=z)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about POST /app/x?y=z)", "gap-auth", "-"),
            Seen("asked: person: GET /oauth2/auth (about POST /public/x)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about POST /public/x)", "gap-auth", "-"),
        ],
    },
    Difference {
        row: "Paths with two readings in a question",
        seen: &[
            Seen("asked: *: GET /oauth2/auth (about GET /public%2fx)", "status", "403"),
            Seen("asked: *: GET /oauth2/auth (about GET /public%2fx)", "body", "error bad_request"),
            Seen("asked: *: GET /oauth2/auth (about GET /public/*/app/x)", "status", "403"),
            Seen("asked: *: GET /oauth2/auth (about GET /public/*/app/x)", "body", "error bad_request"),
            Seen("asked: *: GET /oauth2/auth (about GET //app/x)", "status", "403"),
            Seen("asked: *: GET /oauth2/auth (about GET //app/x)", "body", "error bad_request"),
            Seen("asked: *: GET /oauth2/auth (about GET /app/x#/public/)", "status", "403"),
            Seen("asked: *: GET /oauth2/auth (about GET /app/x#/public/)", "body", "error bad_request"),
            Seen("asked: person: GET /oauth2/auth (about GET /public%2fx)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET /public%2fx)", "gap-auth", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET /public/*/app/x)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET /public/*/app/x)", "gap-auth", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET //app/x)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET //app/x)", "gap-auth", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET /app/x#/public/)", "x-auth-request-*", "-"),
            Seen("asked: person: GET /oauth2/auth (about GET /app/x#/public/)", "gap-auth", "-"),
        ],
    },
    Difference {
        row: "Paths below `/oauth2/` in a question",
        seen: &[
            Seen("asked: *(about GET /oauth2/start)", "status", "403"),
            Seen("asked: *(about GET /oauth2/start)", "body", "error not_found"),
            Seen("asked: *(about GET /oauth2/start)", "x-auth-request-*", "-"),
            Seen("asked: *(about GET /oauth2/start)", "gap-auth", "-"),
        ],
    },
    Difference {
        row: "A question that says too little, or something twice",
        seen: &[
            Seen("asked: *: GET /oauth2/auth (about nothing)", "status", "403"),
            Seen("asked: *: GET /oauth2/auth (about nothing)", "body", "error internal"),
            Seen("asked: *: GET /oauth2/auth (about nothing)", "x-auth-request-*", "-"),
            Seen("asked: *: GET /oauth2/auth (about nothing)", "gap-auth", "-"),
            Seen("asked: nobody: *(and about /public/x)", "status", "403"),
            Seen("asked: nobody: *(and about /public/x)", "body", "error internal"),
        ],
    },
    Difference {
        row: "PKCE",
        seen: &[Seen("*", "location", "provider authorize https://app.example/oauth2/callback code_challenge, nonce")],
    },
    Difference {
        row: "`rd` with our own origin",
        seen: &[Seen("*rd=https://app.example/app/x", "leads to", "/app/x")],
    },
    Difference {
        row: "Letter case in `rd`",
        seen: &[Seen("*rd=https://A.LISTED.example/x", "leads to", "https://a.listed.example/x")],
    },
    Difference { row: "`rd` with two slashes in its midst", seen: &[Seen("*rd=/a//b", "leads to", "/a//b")] },
    Difference { row: "`rd` to the sign-in itself", seen: &[Seen("*rd=/oauth2/sign_in", "leads to", "/")] },
    Difference { row: "`rd` over `http`", seen: &[Seen("*rd=http://a.listed.example/x", "leads to", "/")] },
    Difference {
        row: "`rd` with a user or a `\\`",
        seen: &[
            Seen("*rd=https://user@a.listed.example/x", "leads to", "/"),
            Seen("*rd=https://one.example/%5Cevil.example", "leads to", "/"),
        ],
    },
    Difference { row: "`rd` twice", seen: &[Seen("*rd=/a&rd=/b", "leads to", "/")] },
    Difference {
        row: "`X-Forwarded-Uri` as the address to go back to",
        seen: &[Seen("asked: nobody: GET /oauth2/start (for *", "leads to", "/")],
    },
    Difference {
        row: "Redirects of a POST",
        seen: &[
            Seen("*nobody: POST /oauth2/start (a form)", "status", "303"),
            Seen("*: POST /oauth2/sign_out (our own page)", "status", "303"),
        ],
    },
    Difference {
        row: "`/oauth2/sign_in` with a session",
        seen: &[
            Seen("alone: person: GET /oauth2/sign_in*", "status", "302"),
            Seen("alone: person: GET /oauth2/sign_in*", "location", "/app/x"),
            Seen("alone: person: GET /oauth2/sign_in*", "cookies", "-"),
            Seen("alone: person: GET /oauth2/sign_in*", "body", "-"),
            Seen("alone: person: GET /oauth2/sign_in*", "type", "-"),
        ],
    },
    Difference {
        row: "Passwords at `/oauth2/sign_in`",
        seen: &[
            Seen("*(a password)", "status", "303"),
            Seen("*(a password)", "cookies", "attempt set"),
            Seen("*(a password)", "leads to", "/"),
            Seen("*(a password)", "body", "-"),
            Seen("*(a password)", "type", "-"),
        ],
    },
    Difference {
        row: "Signing out from elsewhere",
        seen: &[
            Seen("*: GET /oauth2/sign_out?rd=/app/bye *", "status", "200"),
            Seen("*: GET /oauth2/sign_out?rd=/app/bye *", "location", "-"),
            Seen("*: GET /oauth2/sign_out?rd=/app/bye *", "body", "a page"),
            Seen("*: GET /oauth2/sign_out?rd=/app/bye *", "type", "text/html"),
            Seen("*: POST /oauth2/sign_out (a form of another site)", "status", "200"),
            Seen("*: POST /oauth2/sign_out (a form of another site)", "location", "-"),
            Seen("*: POST /oauth2/sign_out (a form of another site)", "body", "a page"),
            Seen("*: POST /oauth2/sign_out (a form of another site)", "type", "text/html"),
            Seen("alone: person: GET /oauth2/sign_out?rd=/app/bye *", "cookies", "-"),
            Seen("alone: person: POST /oauth2/sign_out (a form of another site)", "cookies", "-"),
        ],
    },
    Difference {
        row: "Signing out at the provider",
        seen: &[
            Seen("*: * /oauth2/sign_out*", "location", "provider session/end"),
            Seen("*: * /oauth2/sign_out*", "cookies", "attempt set, session cleared"),
            Seen("*: POST /oauth2/sign_out (our own page)", "leads to", "/app/bye"),
            Seen("*listed)", "leads to", "https://a.listed.example/x"),
        ],
    },
    Difference {
        row: "`state` before the code",
        seen: &[
            Seen("alone: beginner: *&state={state}x (as a browser)", "the code", "is left alone"),
            Seen("alone: beginner: *&state=gar:bage (as a browser)", "the code", "is left alone"),
        ],
    },
    Difference {
        row: "Where `state` leads",
        seen: &[
            Seen("alone: beginner: *&state={state}x (as a browser)", "status", "400"),
            Seen("alone: beginner: *&state={state}x (as a browser)", "location", "-"),
            Seen("alone: beginner: *&state={state}x (as a browser)", "cookies", "-"),
            Seen("alone: beginner: *&state={state}x (as a browser)", "body", "a page"),
        ],
    },
    Difference {
        row: "`iss` in the callback",
        seen: &[
            Seen("alone: beginner: *(iss of another provider)", "status", "403"),
            Seen("alone: beginner: *(iss of another provider)", "location", "-"),
            Seen("alone: beginner: *(iss of another provider)", "cookies", "-"),
            Seen("alone: beginner: *(iss of another provider)", "body", "a page"),
            Seen("alone: beginner: *(iss of another provider)", "the code", "is left alone"),
        ],
    },
    Difference {
        row: "What an ID token says",
        seen: &[
            Seen("alone: beginner: *(ID token: a second audience)", "status", "403"),
            Seen("alone: beginner: *(ID token: a second audience)", "location", "-"),
            Seen("alone: beginner: *(ID token: a second audience)", "cookies", "-"),
            Seen("alone: beginner: *(ID token: a second audience)", "body", "a page"),
            Seen("alone: beginner: *(ID token: another azp)", "status", "403"),
            Seen("alone: beginner: *(ID token: another azp)", "location", "-"),
            Seen("alone: beginner: *(ID token: another azp)", "cookies", "-"),
            Seen("alone: beginner: *(ID token: another azp)", "body", "a page"),
            Seen("alone: beginner: *(ID token: another at_hash)", "status", "403"),
            Seen("alone: beginner: *(ID token: another at_hash)", "location", "-"),
            Seen("alone: beginner: *(ID token: another at_hash)", "cookies", "-"),
            Seen("alone: beginner: *(ID token: another at_hash)", "body", "a page"),
            Seen("alone: beginner: *(ID token: from the future)", "status", "403"),
            Seen("alone: beginner: *(ID token: from the future)", "location", "-"),
            Seen("alone: beginner: *(ID token: from the future)", "cookies", "-"),
            Seen("alone: beginner: *(ID token: from the future)", "body", "a page"),
        ],
    },
    Difference {
        row: "Signed userinfo",
        seen: &[
            Seen("alone: beginner: *(userinfo: another key)", "status", "403"),
            Seen("alone: beginner: *(userinfo: another key)", "location", "-"),
            Seen("alone: beginner: *(userinfo: another key)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: another key)", "body", "a page"),
            Seen("alone: beginner: *(userinfo: alg none)", "status", "403"),
            Seen("alone: beginner: *(userinfo: alg none)", "location", "-"),
            Seen("alone: beginner: *(userinfo: alg none)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: alg none)", "body", "a page"),
            Seen("alone: beginner: *(userinfo: another issuer)", "status", "403"),
            Seen("alone: beginner: *(userinfo: another issuer)", "location", "-"),
            Seen("alone: beginner: *(userinfo: another issuer)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: another issuer)", "body", "a page"),
            Seen("alone: beginner: *(userinfo: another audience)", "status", "403"),
            Seen("alone: beginner: *(userinfo: another audience)", "location", "-"),
            Seen("alone: beginner: *(userinfo: another audience)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: another audience)", "body", "a page"),
            Seen("alone: beginner: *(userinfo: over)", "status", "403"),
            Seen("alone: beginner: *(userinfo: over)", "location", "-"),
            Seen("alone: beginner: *(userinfo: over)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: over)", "body", "a page"),
        ],
    },
    Difference {
        row: "Userinfo of somebody else",
        seen: &[
            Seen("alone: beginner: *(userinfo: another person)", "status", "403"),
            Seen("alone: beginner: *(userinfo: another person)", "location", "-"),
            Seen("alone: beginner: *(userinfo: another person)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: another person)", "body", "a page"),
        ],
    },
    Difference {
        row: "The statuses of `/oauth2/callback`",
        seen: &[
            Seen("alone: beginner: *?code=wrong*", "status", "400"),
            Seen("alone: beginner: *?code={code} *", "status", "400"),
            Seen("alone: beginner: *&state=gar*", "status", "400"),
            Seen("alone: *: *?error=access_denied (*", "status", "400"),
            Seen("alone: nobody: *callback (as a browser)", "status", "400"),
            Seen("alone: nobody: *?code=x&state=y*", "status", "400"),
            Seen("alone: otherbrowser: *", "status", "400"),
            Seen("alone: beginner: *?state={state} *", "status", "403"),
            Seen("alone: beginner: *(ID token: *)", "status", "403"),
            Seen("alone: beginner: *(no ID token)", "status", "403"),
            Seen("alone: beginner: *(invalid_grant)", "status", "400"),
            Seen("alone: beginner: *(no tokens)", "status", "502"),
            Seen("alone: beginner: *(userinfo: none)", "status", "502"),
        ],
    },
    Difference {
        row: "The cookie of a sign-in",
        seen: &[
            Seen("alone: beginner: *&state=gar:bage (as a browser)", "cookies", "-"),
            Seen("alone: beginner: *?code={code}&state={state} (as a browser)", "cookies", "attempt set, session set"),
            Seen("alone: beginner: *(ID token: another nonce)", "cookies", "-"),
            Seen("alone: beginner: *(userinfo: not signed)", "cookies", "attempt set, session set"),
        ],
    },
    Difference {
        row: "Two sign-ins at once",
        seen: &[
            Seen("alone: othertab: *", "status", "302"),
            Seen("alone: othertab: *", "location", "/app/deep"),
            Seen("alone: othertab: *", "cookies", "attempt set, session set"),
            Seen("alone: othertab: *", "body", "-"),
        ],
    },
    Difference {
        row: "POST to `/oauth2/callback` and `/oauth2/userinfo`",
        seen: &[
            Seen("alone: nobody: POST /oauth2/callback (a form)", "status", "405"),
            Seen("alone: nobody: POST /oauth2/callback (a form)", "body", "empty"),
            Seen("alone: person: POST /oauth2/userinfo", "status", "405"),
            Seen("alone: person: POST /oauth2/userinfo", "body", "empty"),
            Seen("alone: person: POST /oauth2/userinfo", "type", "-"),
        ],
    },
    Difference {
        row: "Paths below `/oauth2/` that are not there",
        seen: &[
            Seen("alone: nobody: GET /oauth2", "status", "404"),
            Seen("alone: nobody: GET /oauth2", "body", "error not_found"),
            Seen("alone: nobody: GET /oauth2/", "status", "404"),
            Seen("alone: nobody: GET /oauth2/", "body", "error not_found"),
            Seen("alone: nobody: GET /oauth2/nothing", "status", "404"),
            Seen("alone: nobody: GET /oauth2/nothing", "body", "error not_found"),
        ],
    },
    Difference {
        row: "The spelling of `/ping`",
        seen: &[
            Seen("alone: nobody: GET /%70ing", "status", "200"),
            Seen("alone: nobody: GET /%70ing", "body", "OK"),
            Seen("alone: nobody: GET /%70ing", "type", "text/plain"),
        ],
    },
];
