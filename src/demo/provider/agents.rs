//! The people who can sign in: the test agents of the sign-in page, and whoever is typed there.
//!
//! All of them are invented, at ProConnect's test domain; their SIRET numbers begin with 000000,
//! which no organisation has. Which claims a client hears of is
//! decided by the scopes granted to it: [`Agent::claims_for`].

use serde_json::{Map, Value, json};

/// The identity providers that the demo pretends to have behind it: `idp_id` and name.
pub const IDENTITY_PROVIDERS: [(&str, &str); 2] = [
    ("5a0b9c1e-7d42-4f0a-9c53-1f6f3f2f9d01", "Fournisseur d’identité de test (État)"),
    ("c8d1f4a7-2b36-4e8f-8f19-6a7d0b5e4c02", "Fournisseur d’identité de test (hors État)"),
];

/// The `acr` values of ProConnect that an identity provider can give.
pub const ACR_VALUES: [&str; 6] = ["eidas0", "eidas0-mfa", "eidas1", "eidas1-mfa", "eidas2", "eidas3"];

/// The roles that ProConnect knows.
pub const ROLES: [&str; 6] = [
    "agent_public",
    "agent_public_etat",
    "agent_public_territorial",
    "agent_public_hospitalier",
    "agent_public_L100-3",
    "dirigeant",
];

/// Every scope, with the claims that it gives.
pub const SCOPE_CLAIMS: [(&str, &[&str]); 18] = [
    ("openid", &["sub"]),
    ("given_name", &["given_name"]),
    ("usual_name", &["usual_name"]),
    ("email", &["email"]),
    ("uid", &["uid"]),
    ("siret", &["siret"]),
    ("siren", &["siren"]),
    ("idp_id", &["idp_id"]),
    ("idp_acr", &["idp_acr"]),
    ("roles", &["roles"]),
    ("organization_label", &["organization_label"]),
    ("phone", &["phone_number"]),
    ("custom", &["custom"]),
    ("organizational_unit", &["organizational_unit"]),
    ("belonging_population", &["belonging_population"]),
    ("groups", &["groups"]),
    ("chorusdt", &["chorusdt:matricule", "chorusdt:societe"]),
    ("amr", &["amr"]),
];

/// A person, as their identity provider describes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// `sub`: a UUID.
    pub sub: String,
    /// `given_name`: all first names, separated by spaces.
    pub given_name: String,
    /// `usual_name`: the surname in use.
    pub usual_name: String,
    /// `email`.
    pub email: String,
    /// `uid`: their identifier at the identity provider.
    pub uid: String,
    /// `siret`: 14 digits, without spaces.
    pub siret: String,
    /// `organization_label`, where known.
    pub organization_label: Option<String>,
    /// `roles`; empty for people of the private sector.
    pub roles: Vec<String>,
    /// `idp_id`: one of [`IDENTITY_PROVIDERS`].
    pub idp_id: String,
    /// `acr`: how well they were authenticated.
    pub acr: String,
    /// `amr`: by what means.
    pub amr: Vec<String>,
    /// `phone_number`, where known.
    pub phone_number: Option<String>,
    /// Further claims, or other values for the ones above; given out under the same scopes.
    pub more: Map<String, Value>,
}

impl Agent {
    /// A person with this name and address, an agent of the state, authenticated at `eidas1`.
    ///
    /// The subject follows from the address: the same address is the same person again.
    pub fn new(given_name: &str, usual_name: &str, email: &str) -> Self {
        let [state, _] = IDENTITY_PROVIDERS;
        Self {
            sub: subject_of(email),
            given_name: given_name.to_owned(),
            usual_name: usual_name.to_owned(),
            email: email.to_owned(),
            uid: email.split('@').next().unwrap_or_default().to_owned(),
            siret: "00000011700010".to_owned(),
            organization_label: Some("Direction fictive du numérique".to_owned()),
            roles: vec!["agent_public".to_owned(), "agent_public_etat".to_owned()],
            idp_id: state.0.to_owned(),
            acr: "eidas1".to_owned(),
            amr: vec!["pwd".to_owned()],
            phone_number: None,
            more: Map::new(),
        }
    }

    /// The value of one claim, where this person has it.
    pub(super) fn claim(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.more.get(name) {
            return Some(value.clone());
        }
        Some(match name {
            "sub" => json!(self.sub),
            "given_name" => json!(self.given_name),
            "usual_name" => json!(self.usual_name),
            "email" => json!(self.email),
            "uid" => json!(self.uid),
            "siret" => json!(self.siret),
            "siren" => json!(self.siret.get(..9)?),
            "idp_id" => json!(self.idp_id),
            "idp_acr" | "acr" => json!(self.acr),
            "amr" => json!(self.amr),
            "roles" => json!(self.roles),
            "organization_label" => json!(self.organization_label.as_ref()?),
            "phone_number" => json!(self.phone_number.as_ref()?),
            _ => return None,
        })
    }

    /// The claims that `scopes` give of this person.
    pub(super) fn claims_for(&self, scopes: &[String]) -> Map<String, Value> {
        let granted = SCOPE_CLAIMS.iter().filter(|(scope, _)| scopes.iter().any(|asked| asked == scope));
        let names = granted.flat_map(|(_, claims)| claims.iter());
        names.filter_map(|name| Some(((*name).to_owned(), self.claim(name)?))).collect()
    }
}

/// A UUID (version 8, RFC 9562 §5.8) that follows from an e-mail address, whatever its case.
fn subject_of(email: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, email.to_lowercase().as_bytes());
    let mut bytes = [0_u8; 16];
    for (byte, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *byte = *from;
    }
    uuid_text(bytes, 8)
}

/// `bytes` as the text of a UUID of the given version.
pub(super) fn uuid_text(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let group = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [group(0..8), group(8..12), group(12..16), group(16..20), group(20..32)].join("-")
}

/// A test agent: a person, and what the sign-in page says of them.
#[derive(Clone, Debug)]
pub struct TestAgent {
    /// What the page's form sends.
    pub key: &'static str,
    /// Their work, in French.
    pub function: &'static str,
    /// The same, in English.
    pub function_en: &'static str,
    /// The person.
    pub agent: Agent,
}

/// The test agents, in the order of the page.
pub fn test_agents() -> Vec<TestAgent> {
    let [_, other_idp] = IDENTITY_PROVIDERS;
    let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    vec![
        TestAgent {
            key: "helene",
            function: "Cheffe de projet numérique, administration centrale",
            function_en: "Digital project lead, central administration",
            agent: Agent {
                phone_number: Some("+33 1 99 00 12 34".to_owned()),
                ..Agent::new("Hélène Anaïs", "Lefèvre-Nuñez", "helene.lefevre@test.proconnect.gouv.fr")
            },
        },
        TestAgent {
            key: "malo",
            function: "Secrétaire de mairie, à mi-temps en préfecture — plusieurs rôles",
            function_en: "Town clerk, half-time at the prefecture — several roles",
            agent: Agent {
                siret: "00000012500013".to_owned(),
                organization_label: Some("Commune de Villefictive-sur-Essai".to_owned()),
                roles: roles(&["agent_public", "agent_public_territorial", "agent_public_etat"]),
                idp_id: other_idp.0.to_owned(),
                ..Agent::new("Malo", "Kergoat", "malo.kergoat@test.proconnect.gouv.fr")
            },
        },
        TestAgent {
            key: "aminata",
            function: "Officière de sécurité des systèmes d’information — authentification forte (eidas1-mfa)",
            function_en: "Information security officer — multi-factor authentication (eidas1-mfa)",
            agent: Agent {
                acr: "eidas1-mfa".to_owned(),
                amr: roles(&["pwd", "otp", "mfa"]),
                organization_label: Some("Agence fictive de la cybersécurité".to_owned()),
                siret: "00000013300017".to_owned(),
                ..Agent::new("Aminata", "Diallo", "aminata.diallo@test.proconnect.gouv.fr")
            },
        },
        TestAgent {
            key: "zoe",
            function: "Pharmacienne hospitalière",
            function_en: "Hospital pharmacist",
            agent: Agent {
                siret: "00000014100010".to_owned(),
                organization_label: Some("Centre hospitalier de Villefictive".to_owned()),
                roles: roles(&["agent_public", "agent_public_hospitalier"]),
                idp_id: other_idp.0.to_owned(),
                ..Agent::new("Zoë Marie", "D’Almeïda", "zoe.dalmeida@test.proconnect.gouv.fr")
            },
        },
        TestAgent {
            key: "joris",
            function: "Prestataire du secteur privé — aucun rôle",
            function_en: "Private-sector contractor — no role",
            agent: Agent {
                acr: "eidas0".to_owned(),
                siret: "00000015800014".to_owned(),
                organization_label: Some("Société Exemple SAS".to_owned()),
                roles: Vec::new(),
                idp_id: other_idp.0.to_owned(),
                ..Agent::new("Joris", "Van den Berg", "joris.vandenberg@test.proconnect.gouv.fr")
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_gives_its_claims_and_no_others() {
        let agent = Agent::new("Hélène", "Essai", "helene@test.proconnect.gouv.fr");
        let scopes = ["openid", "email", "siren", "phone", "profile"].map(str::to_owned);
        let claims = agent.claims_for(&scopes);
        let names: Vec<_> = claims.keys().map(String::as_str).collect();
        assert_eq!(names, ["email", "siren", "sub"]);
        assert_eq!(claims["siren"], "000000117");
    }

    #[test]
    fn more_gives_other_values_under_the_same_scopes() {
        let mut agent = Agent::new("Hélène", "Essai", "helene@test.proconnect.gouv.fr");
        agent.more.insert("roles".to_owned(), json!("agent_public"));
        agent.more.insert("custom".to_owned(), json!({"grade": "A"}));
        let claims = agent.claims_for(&["roles".to_owned()]);
        assert_eq!(claims["roles"], "agent_public");
        assert!(!claims.contains_key("custom"));
    }

    #[test]
    fn an_address_is_one_person_whatever_its_case() {
        let [one, same, other] =
            ["A@b.example", "a@B.example", "c@b.example"].map(|email| Agent::new("", "", email).sub);
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'8'));
    }

    #[test]
    fn test_agents_are_told_apart_and_use_known_values() {
        let agents = test_agents();
        let mut subjects: Vec<_> = agents.iter().map(|test| test.agent.sub.clone()).collect();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), agents.len());
        for TestAgent { agent, .. } in &agents {
            assert!(agent.email.ends_with("@test.proconnect.gouv.fr"));
            assert!(agent.siret.len() == 14 && agent.siret.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(ACR_VALUES.contains(&agent.acr.as_str()));
            assert!(agent.roles.iter().all(|role| ROLES.contains(&role.as_str())));
            assert!(IDENTITY_PROVIDERS.iter().any(|(id, _)| *id == agent.idp_id));
        }
    }
}
