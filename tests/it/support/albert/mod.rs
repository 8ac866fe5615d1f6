//! A faithful fake of Albert API: its admin interface in three versions, and a streaming model.
