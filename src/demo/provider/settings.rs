//! What the provider is set up with: its clients, and the few things that differ between them.
//!
//! `demo::start` and tests make these. The names are those of OpenID Connect client metadata
//! (OpenID Connect Registration §2).

use crate::secret::SecretString;
use std::time::Duration;

/// The scopes that ProConnect grants to every client.
pub const DEFAULT_SCOPES: [&str; 11] = [
    "openid",
    "given_name",
    "usual_name",
    "email",
    "uid",
    "siret",
    "idp_id",
    "roles",
    "organization_label",
    "phone",
    "custom",
];

/// What the provider is set up with.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// Who may send people here.
    pub clients: Vec<Client>,
    /// Whether a refresh brings a new refresh token.
    pub refresh_rotation: RefreshRotation,
    /// How long access tokens live; an hour where nothing is said, as at ProConnect.
    pub access_token_lifetime: Option<Duration>,
    /// Whether sign-out asks for a press of a button before it goes back to the client.
    ///
    /// ProConnect shows a form that submits itself. There is no JavaScript here, so by default
    /// the form is left out and the browser goes straight back, which is what people see there.
    pub confirm_sign_out: bool,
    /// An RSA private key (PKCS #8 or PKCS #1, PEM) of at least 2048 bits. RS256 is offered only
    /// with one: nothing here can make RSA keys.
    pub rsa_private_key_pem: Option<SecretString>,
}

/// One client (ProConnect's *fournisseur de service*).
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`; taken in the body only (`client_secret_post`).
    pub client_secret: SecretString,
    /// The name that the sign-in page shows.
    pub name: String,
    /// Where codes may be sent; compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after sign-out; compared exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// The scopes that it may ask for.
    pub scopes: Vec<String>,
    /// How its ID tokens are signed.
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// How its userinfo is signed; plain JSON when `None`.
    pub userinfo_signed_response_alg: Option<SigningAlgorithm>,
    /// Whether people without any public-sector role may sign in to it.
    pub accepts_private_sector: bool,
}

impl Client {
    /// A client as ProConnect registers one by default, with userinfo signed like the ID token.
    pub fn new(
        client_id: &str,
        client_secret: SecretString,
        redirect_uri: &str,
        post_logout_redirect_uri: &str,
    ) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret,
            name: "Application de démonstration".to_owned(),
            redirect_uris: vec![redirect_uri.to_owned()],
            post_logout_redirect_uris: vec![post_logout_redirect_uri.to_owned()],
            scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
            id_token_signed_response_alg: SigningAlgorithm::ES256,
            userinfo_signed_response_alg: Some(SigningAlgorithm::ES256),
            accepts_private_sector: true,
        }
    }
}

/// Where one client hears that somebody has signed out here. ProConnect tells nobody; this does,
/// for clients that ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogoutUris {
    /// `backchannel_logout_uri` (OpenID Connect Back-Channel Logout §2.2).
    pub backchannel: Option<String>,
    /// `frontchannel_logout_uri` (OpenID Connect Front-Channel Logout §2).
    pub frontchannel: Option<String>,
}

/// The algorithms that ProConnect signs with (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256, the default.
    ES256,
    /// RSASSA-PKCS1-v1_5; needs [`ProviderSettings::rsa_private_key_pem`].
    RS256,
    /// HMAC under the client's secret.
    HS256,
}

impl SigningAlgorithm {
    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
            Self::HS256 => "HS256",
        }
    }
}

/// Whether a refresh brings a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshRotation {
    /// Always; the former one dies, and its reuse ends the whole grant.
    #[default]
    Always,
    /// Once 70 % of its life have passed, as ProConnect does.
    Late,
    /// Never.
    Never,
}
