//! The encrypted envelope that hands a person's key to the playgrounds of 2025.
