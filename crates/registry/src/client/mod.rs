//! The client: resolve, pull and push content of any registry.
