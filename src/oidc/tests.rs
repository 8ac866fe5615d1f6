//! The whole of a sign-in against a provider on loopback that lies in one thing at a time.
