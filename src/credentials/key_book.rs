//! Keys that somebody else keeps, found by a claim: in a file or behind an HTTP endpoint.
