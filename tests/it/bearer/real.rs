//! The issuer is ProConnect's provider.
