//! Albert API's admin interface: a person's account there, and keys for it.
