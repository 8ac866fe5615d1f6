//! Token exchange (RFC 8693): a token for another service in the place of the person's own.
